"""Recording sessions before they are binned: spike times, events and signals on one clock, and trials cut from them."""
