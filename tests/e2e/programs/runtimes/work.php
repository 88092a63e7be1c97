<?php
// Sockets, generators, sorting, regular expressions, hashing, the compiler's cache of what it has seen.
$server = stream_socket_server('tcp://127.0.0.1:0');
$client = stream_socket_client('tcp://' . stream_socket_get_name($server, false));
$peer = stream_socket_accept($server);
fwrite($client, "over a socket\n");
echo fgets($peer);

function numbers() { for ($i = 0; $i < 1000; $i++) yield $i => $i * $i; }
echo array_sum(iterator_to_array(numbers())), "\n";
$words = [];
for ($i = 0; $i < 20000; $i++) { $key = substr(md5((string)$i), 0, 2); $words[$key] = ($words[$key] ?? 0) + 1; }
ksort($words);
echo count($words), ' ', array_key_first($words), ' ', hash('sha256', json_encode($words)), "\n";
echo preg_replace_callback('/\d+/', fn ($m) => $m[0] * 2, 'a1 b22 c333'), "\n";
echo (new DateTime('@86400', new DateTimeZone('UTC')))->setTimezone(new DateTimeZone('Asia/Tokyo'))->format('c'), "\n";
$name = tempnam('/tmp', 'work'); file_put_contents($name, 'kept'); echo file_get_contents($name), "\n"; unlink($name);
exit(4);
