DROP TABLE log_word_filters;
