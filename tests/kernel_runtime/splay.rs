//! Splay trees. Microsoft's pages of `RtlSplay` ("the specified node becomes the root"), `RtlDelete`,
//! `RtlDeleteNoSplay`, `RtlRealSuccessor`, `RtlRealPredecessor`, `RtlSubtreeSuccessor`,
//! `RtlSubtreePredecessor` (ntddk.h); layout of `RTL_SPLAY_LINKS`: parent, left child, right child.

use crate::guest::*;
use proptest::prelude::*;

const LINKS: u64 = 0x18;

/// A tree in the guest: node `i` holds the number `i`, and its place says which it is.
struct Tree {
    nodes: u64,
    root: u64,
}

impl Tree {
    fn at(&self, node: usize) -> u64 {
        self.nodes + node as u64 * LINKS
    }

    /// Inserts the nodes one after the other, without any balance.
    fn new(guest: &mut Guest, order: &[usize]) -> Tree {
        let nodes = guest.put(&vec![0; order.len() * LINKS as usize]);
        let mut tree = Tree { nodes, root: 0 };
        for &node in order {
            let (new, mut parent, mut slot) = (tree.at(node), 0, 0);
            let mut at = tree.root;
            while at != 0 {
                parent = at;
                slot = at + if new < at { 8 } else { 16 };
                at = guest.u64(slot);
            }
            if parent == 0 {
                tree.root = new;
                parent = new;
            } else {
                guest.write(slot, &new.to_le_bytes());
            }
            guest.write(new, &parent.to_le_bytes());
        }
        tree
    }

    /// The nodes below a node in order; every link back is right.
    fn below(&self, guest: &Guest, links: u64, parent: u64) -> Vec<usize> {
        if links == 0 {
            return Vec::new();
        }
        assert_eq!(guest.u64(links), parent);
        let mut nodes = self.below(guest, guest.u64(links + 8), links);
        nodes.push(((links - self.nodes) / LINKS) as usize);
        nodes.extend(self.below(guest, guest.u64(links + 16), links));
        nodes
    }

    fn all(&self, guest: &Guest) -> Vec<usize> {
        self.below(guest, self.root, self.root)
    }
}

fn any_order() -> impl Strategy<Value = (Vec<usize>, proptest::sample::Index)> {
    let order =
        (1..30usize).prop_flat_map(|count| Just((0..count).collect::<Vec<_>>()).prop_shuffle());
    (order, any::<proptest::sample::Index>())
}

#[test]
fn neighbours() {
    property(150, any_order(), |guest, (order, node)| {
        let tree = Tree::new(guest, &order);
        let node = node.index(order.len());
        let at = tree.at(node);
        let place = |node: Option<usize>| node.map_or(0, |node| tree.at(node));
        let next = (node + 1 < order.len()).then_some(node + 1);
        assert_eq!(guest.call("RtlRealSuccessor", &[at]), place(next));
        assert_eq!(
            guest.call("RtlRealPredecessor", &[at]),
            place(node.checked_sub(1))
        );
        let right = tree.below(guest, guest.u64(at + 16), at);
        let left = tree.below(guest, guest.u64(at + 8), at);
        let got = guest.call("RtlSubtreeSuccessor", &[at]);
        assert_eq!(got, place(right.first().copied()));
        let got = guest.call("RtlSubtreePredecessor", &[at]);
        assert_eq!(got, place(left.last().copied()));
        assert_eq!(tree.all(guest).len(), order.len());
    });
}

#[test]
fn splayed_and_deleted() {
    property(150, any_order(), |guest, (order, node)| {
        let mut tree = Tree::new(guest, &order);
        let all = tree.all(guest);
        let node = node.index(order.len());
        tree.root = guest.call("RtlSplay", &[tree.at(node)]);
        assert_eq!(tree.root, tree.at(node));
        assert_eq!(tree.all(guest), all);
        let rest: Vec<usize> = all.into_iter().filter(|other| *other != node).collect();
        // from the place that it was given first, and from the root
        for name in ["RtlDelete", "RtlDeleteNoSplay"] {
            for first in [false, true] {
                let mut tree = Tree::new(guest, &order);
                if first {
                    tree.root = guest.call("RtlSplay", &[tree.at(node)]);
                }
                if name == "RtlDelete" {
                    tree.root = guest.call(name, &[tree.at(node)]);
                } else {
                    let root = guest.put(&words(&[tree.root]));
                    guest.call(name, &[tree.at(node), root]);
                    tree.root = guest.u64(root);
                }
                assert_eq!(tree.all(guest), rest, "{name}");
                assert_eq!(tree.root == 0, rest.is_empty());
            }
        }
    });
}

/// What splaying is for: a chain becomes half as deep.
#[test]
fn chains_get_shorter() {
    let mut guest = Guest::new();
    let mut tree = Tree::new(&mut guest, &(0..64).collect::<Vec<_>>());
    fn depth(guest: &Guest, links: u64) -> u32 {
        match links {
            0 => 0,
            _ => 1 + depth(guest, guest.u64(links + 8)).max(depth(guest, guest.u64(links + 16))),
        }
    }
    assert_eq!(depth(&guest, tree.root), 64);
    tree.root = guest.call("RtlSplay", &[tree.at(63)]);
    assert!(depth(&guest, tree.root) <= 34);
}
