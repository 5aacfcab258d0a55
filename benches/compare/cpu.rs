//! How much CPU time processes have used, to the nanosecond: `/proc/PID/task/*/schedstat`, with all their children.

use std::fs;
use std::path::Path;

/// Returns the nanoseconds that these processes and their children have run so far, in user and kernel mode.
///
/// A thread that has ended no longer counts, so that both looks must come while the same threads run.
pub fn of_trees(roots: &[u32]) -> u64 {
    roots.iter().map(|root| of_tree(*root)).sum()
}

fn of_tree(process: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return 0 };
    tasks.filter_map(Result::ok).map(|task| of_task(&task.path())).sum()
}

fn of_task(task: &Path) -> u64 {
    let word = |file: &str| fs::read_to_string(task.join(file)).unwrap_or_default();
    let own = word("schedstat").split_whitespace().next().and_then(|run| run.parse().ok()).unwrap_or(0);
    let children: u64 = word("children").split_whitespace().filter_map(|child| child.parse().ok()).map(of_tree).sum();
    own + children
}
