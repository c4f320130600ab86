use crate::guest::{pairs, run};
#[test]
fn show() {
    for s in 1..10 {
        println!("== {s}: ");
        let r = std::panic::catch_unwind(|| run(s));
        if let Ok(n) = r { for n in &n { println!("{:?}", n); } let _ = pairs(&n); }
    }
}
