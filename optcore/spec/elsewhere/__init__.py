"""Names in other libraries: what people type, and our words for it. Only errors read this."""
