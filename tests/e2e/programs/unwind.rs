// What unwinds: panics across frames and threads, catch_unwind, drops in order, backtraces, thread
// locals with destructors, scoped threads, timed waits, a panic while another is on its way.
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;
use std::time::Duration;

static DROPPED: AtomicUsize = AtomicUsize::new(0);

struct Counted(&'static str);

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
        if thread::panicking() && self.0 == "tells" {
            println!("dropped while it unwinds");
        }
    }
}

thread_local! {
    static LOCAL: RefCell<Option<Counted>> = RefCell::new(None);
}

#[inline(never)]
#[allow(unconditional_recursion)]
fn deep(n: u32) -> u32 {
    let _guard = Counted(if n == 3 { "tells" } else { "" });
    if n == 0 {
        // The panic comes out of a callback of the C library, beneath frames of this program.
        std::fs::read("/no/such/file").expect("the file");
    }
    deep(n - 1) + 1
}

#[inline(never)]
fn trace() -> String {
    std::backtrace::Backtrace::force_capture().to_string()
}

fn main() {
    panic::set_hook(Box::new(|info| {
        let text = info.payload().downcast_ref::<String>().cloned().unwrap_or_else(|| "str".into());
        println!("panic: {}", text.split(':').next().unwrap());
    }));
    let caught = panic::catch_unwind(|| deep(10));
    println!("caught {} after {} drops", caught.is_err(), DROPPED.load(Ordering::SeqCst));
    for round in 0..200 {
        let caught = panic::catch_unwind(AssertUnwindSafe(|| {
            let _guard = Counted("");
            if round % 2 == 0 {
                panic::resume_unwind(Box::new(round));
            }
            round
        }));
        assert_eq!(caught.is_err(), round % 2 == 0);
    }
    println!("{} drops", DROPPED.load(Ordering::SeqCst));

    let threads: Vec<_> = (0..8)
        .map(|i| {
            thread::Builder::new().name(format!("t{i}")).spawn(move || {
                LOCAL.with(|l| *l.borrow_mut() = Some(Counted("")));
                if i % 2 == 1 {
                    panic::resume_unwind(Box::new(i));
                }
                i
            }).unwrap()
        })
        .collect();
    let ended: Vec<_> = threads.into_iter().map(|t| t.join().is_ok()).collect();
    println!("{ended:?} {} drops", DROPPED.load(Ordering::SeqCst));

    let lock = Arc::new(Mutex::new(0));
    let held = lock.clone();
    let _ = thread::spawn(move || {
        let _guard = held.lock().unwrap();
        panic::resume_unwind(Box::new(()));
    }).join();
    println!("poisoned {}", lock.lock().is_err());

    let barrier = Barrier::new(4);
    let sum = AtomicUsize::new(0);
    thread::scope(|s| {
        for i in 0..4 {
            let (barrier, sum) = (&barrier, &sum);
            s.spawn(move || {
                barrier.wait();
                thread::park_timeout(Duration::from_millis(1));
                sum.fetch_add(i, Ordering::SeqCst);
            });
        }
    });
    println!("scoped {}", sum.load(Ordering::SeqCst));
    let pair = (Mutex::new(false), Condvar::new());
    let (_guard, out) = pair.1.wait_timeout(pair.0.lock().unwrap(), Duration::from_millis(5)).unwrap();
    println!("timed out {}", out.timed_out());
    println!("backtrace {}", trace().contains("trace") && trace().contains("main"));
}
