DROP TABLE producer_duplicates, producer_figures;
