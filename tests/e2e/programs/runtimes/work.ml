(* Threads that share a counter and a queue, signals, sockets between them, and the collector at work. *)
let lock = Mutex.create ()
let filled = Condition.create ()
let queue : int Queue.t = Queue.create ()
let total = ref 0

let produce from =
  for n = from to from + 499 do
    Mutex.lock lock;
    Queue.push n queue;
    Condition.signal filled;
    Mutex.unlock lock;
    if n mod 50 = 0 then Thread.yield ()
  done

let consume () =
  for _ = 1 to 1000 do
    Mutex.lock lock;
    while Queue.is_empty queue do Condition.wait filled lock done;
    total := !total + Queue.pop queue;
    Mutex.unlock lock
  done

let echo server =
  let link, _ = Unix.accept server in
  let buf = Bytes.create 65536 in
  let rec go sum =
    match Unix.read link buf 0 65536 with
    | 0 -> sum
    | n -> go (sum + n) in
  let sum = go 0 in
  let text = string_of_int sum in
  ignore (Unix.write_substring link text 0 (String.length text));
  Unix.close link

let ask port =
  let link = Unix.socket Unix.PF_INET Unix.SOCK_STREAM 0 in
  Unix.connect link (Unix.ADDR_INET (Unix.inet_addr_loopback, port));
  let data = String.make 300_000 'x' in
  ignore (Unix.write_substring link data 0 300_000);
  Unix.shutdown link Unix.SHUTDOWN_SEND;
  let buf = Bytes.create 64 in
  let n = Unix.read link buf 0 64 in
  Printf.printf "echo %s\n" (Bytes.sub_string buf 0 n)

let () =
  let makers = List.map (Thread.create produce) [0; 500; 1000; 1500] in
  let takers = List.map (Thread.create consume) [(); ()] in
  List.iter Thread.join (makers @ takers);
  Printf.printf "total %d\n" !total;
  let server = Unix.socket Unix.PF_INET Unix.SOCK_STREAM 0 in
  Unix.bind server (Unix.ADDR_INET (Unix.inet_addr_loopback, 0));
  Unix.listen server 5;
  let port = match Unix.getsockname server with Unix.ADDR_INET (_, p) -> p | _ -> 0 in
  let other = Thread.create echo server in
  ask port;
  Thread.join other;
  let ticks = ref 0 in
  Sys.set_signal Sys.sigalrm (Sys.Signal_handle (fun _ -> incr ticks));
  ignore (Unix.setitimer Unix.ITIMER_REAL { Unix.it_interval = 0.005; it_value = 0.005 });
  let rec tree depth = if depth = 0 then [] else [tree (depth - 1); tree (depth - 1)] |> List.concat_map (fun t -> [depth :: t]) |> List.concat in
  while !ticks < 5 do ignore (Sys.opaque_identity (tree 10)) done;
  ignore (Unix.setitimer Unix.ITIMER_REAL { Unix.it_interval = 0.; it_value = 0. });
  Gc.compact ();
  Printf.printf "signals and collections: %b %b\n" (!ticks >= 5) ((Gc.quick_stat ()).Gc.minor_collections > 0)
