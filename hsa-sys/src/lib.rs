//! Raw HSA runtime declarations, opened at run time
