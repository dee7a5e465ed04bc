"""The local stack: the whole service on one machine, as ``optserve up`` runs it."""
