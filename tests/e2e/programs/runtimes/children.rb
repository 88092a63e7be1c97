# fork with a pipe, a command's output, a status.
reader, writer = IO.pipe
pid = fork { reader.close; writer.puts "child #{6 * 7}"; exit! 3 }
writer.close
puts reader.read
Process.wait pid
puts $?.exitstatus
puts `echo from a shell | cat`
puts IO.popen(['cat'], 'r+') { |io| io.write 'through'; io.close_write; io.read }
