"""Published claims judged by measured figures and their intervals: kept, broken, cannot tell, or not tested here."""
