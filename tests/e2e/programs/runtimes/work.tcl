# Sockets with events, timers, regular expressions, a coroutine.
proc accept {channel address port} { fileevent $channel readable [list answer $channel] }
proc answer {channel} {
    if {[gets $channel line] < 0} { close $channel; return }
    puts $channel [string toupper $line]
    flush $channel
}
set server [socket -server accept -myaddr 127.0.0.1 0]
set port [lindex [fconfigure $server -sockname] 2]
proc heard {channel} { set ::got [gets $channel]; close $channel }
foreach word {one two three} {
    set client [socket 127.0.0.1 $port]
    fileevent $client readable [list heard $client]
    puts $client $word
    flush $client
    vwait got
    puts $got
}
after 20 {set done 1}
vwait done
proc numbers {} { yield; for {set i 0} {$i < 3} {incr i} { yield [expr {$i ** 20 + 2 ** 80}] } }
coroutine next numbers
puts "[next] [next] [next]"
puts [regsub -all {(\w)(\w*)} "swap the letters" {\2\1}]
puts [clock format 86400 -gmt 1 -format {%Y-%m-%d}]
exit 5
