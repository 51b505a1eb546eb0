"""What ``observer curriculum`` does: shows what a schedule would draw, writes difficulties as measured."""
