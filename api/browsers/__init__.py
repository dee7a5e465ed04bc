"""What browsers must be kept from, and the page that is for them."""
