"""Published claims held against measured figures and their intervals: kept, broken, cannot tell, or not tested here."""
