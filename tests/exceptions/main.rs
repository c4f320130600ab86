//! Exceptions in the guest's kernel.

mod guest;

#[test]
fn dump() {
    use guest::*;
    for scenario in 1..=17 {
        if [8,9,10,13,16].contains(&scenario) { continue; }
        let mut lab = lab(&Request::new(scenario, Place::Dispatch, if scenario == 1 { 99 } else { 0 }));
        let exit = lab.run(ENOUGH).unwrap();
        println!("{scenario}: {exit:x?} {:?} {:x?}", lab.bug_check(), pairs(&notes(&lab)));
    }
}
