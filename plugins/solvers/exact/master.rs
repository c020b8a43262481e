//! The master program of the Lagrangian dual: a linear program of one row for each budget and one for convexity, over
//! the solutions seen so far, solved by a revised simplex of that size. Its dual values are the next multipliers to try
//! (Kelley's cutting planes).

/// The linear program over the solutions seen: least loss of a mixture that keeps the budgets on average.
pub(crate) struct Master {
    /// Number of rows, that of convexity included.
    size: usize,
    /// Losses of the columns: slack variables of the rows, a solution that is worse than all, then the solutions.
    losses: Vec<f64>,
    /// Entries of the columns, one column after another: shares used above what is free, then 1 for convexity.
    entries: Vec<f64>,
    /// Columns in the basis.
    basis: Vec<usize>,
    /// Dual values of the basis; the last is the program's optimum over the columns when nothing improves it.
    duals: Vec<f64>,
    work: Vec<f64>,
}

impl Master {
    /// The program without any solution. `free` are shares of the rows' slack, `worst` is no less than the loss of any
    /// solution.
    pub fn new(free: &[f64], worst: f64) -> Self {
        let rows = free.len();
        let size = rows + 1;
        let mut entries = vec![0.0; rows * size];
        (0..rows).for_each(|row| entries[row * size + row] = 1.0);
        entries.extend(free.iter().map(|free| -free));
        entries.push(1.0);
        let mut losses = vec![0.0; rows];
        losses.push(10.0 * worst + 1.0);
        let mut master = Self { size, losses, entries, basis: (0..size).collect(), duals: vec![], work: vec![] };
        master.update_duals();
        master
    }

    /// Adds a solution: its loss, and its use of each row above the free part.
    pub fn add(&mut self, loss: f64, entries: impl Iterator<Item = f64>) {
        self.losses.push(loss);
        self.entries.extend(entries);
        self.entries.push(1.0);
    }

    /// Objective of the basis, if it is feasible.
    pub fn level(&self) -> Option<f64> {
        self.duals.last().copied()
    }

    /// Multipliers of the rows.
    pub fn lambda<const R: usize>(&self) -> [f64; R] {
        std::array::from_fn(|row| if row + 1 < self.size { (-self.duals[row]).max(0.0) } else { 0.0 })
    }

    /// Whether the solution that was added as number `index` is in the basis.
    pub fn in_basis(&self, index: usize) -> bool {
        self.basis.contains(&(index + self.size))
    }

    fn column(&self, index: usize) -> &[f64] {
        &self.entries[index * self.size..(index + 1) * self.size]
    }

    /// Simplex steps until no known column improves the program.
    pub fn improve(&mut self) {
        for _ in 0..4 * self.size {
            let reduced_cost = |index: usize| {
                let used: f64 = self.column(index).iter().zip(&self.duals).map(|(entry, dual)| entry * dual).sum();
                self.losses[index] - used
            };
            let outside = (0..self.losses.len()).filter(|index| !self.basis.contains(index));
            let entering = outside.map(|index| (reduced_cost(index), index)).min_by(|a, b| a.0.total_cmp(&b.0));
            let Some((cost, entering)) = entering else { return };
            if self.duals.is_empty() || cost >= -1e-12 * self.duals[self.size - 1].abs() {
                return;
            }
            let mut unit = vec![0.0; self.size];
            unit[self.size - 1] = 1.0;
            let direction = self.column(entering).to_vec();
            let (Some(level), Some(direction)) = (self.solve(&unit, false), self.solve(&direction, false)) else {
                return;
            };
            let leaving = (0..self.size)
                .filter(|&place| direction[place] > 1e-12)
                .min_by(|&a, &b| (level[a] / direction[a]).total_cmp(&(level[b] / direction[b])));
            let Some(leaving) = leaving else { return };
            self.basis[leaving] = entering;
            self.update_duals();
        }
    }

    /// Dual values of the basis.
    fn update_duals(&mut self) {
        let losses: Vec<f64> = self.basis.iter().map(|&index| self.losses[index]).collect();
        self.duals = self.solve(&losses, true).unwrap_or_default();
    }

    /// Solves with the basis as columns, or as rows when `transposed`, by elimination; `None` when it is singular.
    fn solve(&mut self, right: &[f64], transposed: bool) -> Option<Vec<f64>> {
        let (size, wide) = (self.size, self.size + 1);
        let mut work = std::mem::take(&mut self.work);
        work.clear();
        for (row, &right) in right.iter().enumerate() {
            for column in 0..size {
                let (column, row) = if transposed { (row, column) } else { (column, row) };
                work.push(self.column(self.basis[column])[row]);
            }
            work.push(right);
        }
        let mut singular = false;
        for pivot in 0..size {
            let at = |row: usize| row * wide + pivot;
            let largest = (pivot..size).max_by(|&a, &b| work[at(a)].abs().total_cmp(&work[at(b)].abs()));
            let largest = largest.unwrap_or(pivot);
            (0..wide).for_each(|column| work.swap(pivot * wide + column, largest * wide + column));
            singular |= work[at(pivot)].abs() < 1e-14;
            for row in (0..size).filter(|&row| row != pivot) {
                let factor = work[at(row)] / work[at(pivot)];
                (pivot..wide).for_each(|column| work[row * wide + column] -= factor * work[pivot * wide + column]);
            }
        }
        let solution = (0..size).map(|row| work[row * wide + size] / work[row * wide + row]).collect();
        self.work = work;
        (!singular).then_some(solution)
    }
}
