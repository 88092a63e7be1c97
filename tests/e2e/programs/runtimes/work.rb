# Threads, queues, a TCP server, fibers, a full garbage collection.
require 'socket'
require 'digest'

queue = Queue.new
workers = 4.times.map { |n| Thread.new { 500.times { |i| queue << n * i } } }
workers.each(&:join)
puts queue.size, Array.new(queue.size) { queue.pop }.sum

server = TCPServer.new('127.0.0.1', 0)
Thread.new { loop { Thread.new(server.accept) { |c| c.puts c.gets.reverse; c.close } } }
answers = 10.times.map do |i|
  Thread.new { s = TCPSocket.new('127.0.0.1', server.addr[1]); s.puts "ask#{i}"; s.read.strip }
end
puts answers.map(&:value).join(' ')

numbers = Fiber.new { 3.times { |i| Fiber.yield i }; :end }
puts 4.times.map { numbers.resume }.inspect
puts Digest::SHA256.hexdigest((1..100_000).map(&:to_s).join)[0, 12]
GC.start
puts GC.count.positive?
