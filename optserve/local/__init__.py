"""The service on one machine: ``optserve up``."""
