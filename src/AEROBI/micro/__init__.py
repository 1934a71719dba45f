"""The search space of cells (ENAS, section 2.4): its values, child, controller and cost."""
