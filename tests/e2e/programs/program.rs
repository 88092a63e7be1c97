// A Rust program with threads, channels, collections and formatting.
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

fn main() {
    let word = std::env::args().nth(1).expect("an argument");
    if word == "panic" {
        panic!("asked to");
    }
    let n: u64 = word.parse().unwrap();
    let (sender, receiver) = mpsc::channel();
    for i in 0..n {
        let sender = sender.clone();
        thread::spawn(move || sender.send((i, (1..=i).product::<u64>())).unwrap());
    }
    drop(sender);
    let results: BTreeMap<u64, u64> = receiver.iter().collect();
    for (i, factorial) in &results {
        println!("{i:>3}! = {factorial}");
    }
    let name = format!("/tmp/rust-program-{}.txt", std::process::id());
    std::fs::write(&name, "text").unwrap();
    println!("{}", std::fs::read_to_string(&name).unwrap());
    std::fs::remove_file(&name).unwrap();
    std::process::exit(9);
}
