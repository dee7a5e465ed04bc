"""What clients and service say to each other: the words of the HTTP interface."""
