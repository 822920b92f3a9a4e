"""How each task is judged on patients that no training saw."""
