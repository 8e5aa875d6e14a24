"""Tests of the operator's command and the embedded servers."""
