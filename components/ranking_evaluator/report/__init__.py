"""What people read of an evaluation: one HTML page, report.html."""
