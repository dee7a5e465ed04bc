"""Map names of other libraries to optserve's names, for suggestions in error messages."""
