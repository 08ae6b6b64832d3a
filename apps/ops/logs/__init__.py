"""What processes say: as lines for people or for programs, with what each belongs to, and the important ones kept."""
