"""Specs of datasets. A spec gives the dataset's sizes and checksum without loading the dataset."""
