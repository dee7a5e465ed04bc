"""Jobs: their records, series and views, and the calls that change them."""
