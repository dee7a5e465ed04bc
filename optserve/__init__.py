"""What people hold in their hands: the Python client, the `optserve` command, the local stack."""
