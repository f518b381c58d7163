"""What happens in a run: its session, cells, costs, deployed forms and race, and keeping and publishing what they found."""
