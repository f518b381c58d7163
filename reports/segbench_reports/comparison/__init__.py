"""What ``segbench compare`` found, as text: for the terminal, for a pull request, for programs."""
