<?php
echo shell_exec('echo from a shell | cat');
$process = proc_open(['cat'], [['pipe', 'r'], ['pipe', 'w']], $pipes);
fwrite($pipes[0], 'through'); fclose($pipes[0]);
echo stream_get_contents($pipes[1]), ' ', proc_close($process), "\n";
exec('exit 6', $lines, $status);
echo $status, "\n";
