"""`manage.py replay`: a recorded tick file through the whole chain, from the decoder to the booked exit."""
