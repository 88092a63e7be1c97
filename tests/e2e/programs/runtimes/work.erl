%% Ten thousand processes in a ring, tables, a socket server and a port program, on as many schedulers as there are CPUs.
-module(work).
-export([start/0]).

start() ->
    io:format("ring ~p~n", [ring(10000)]),
    Table = ets:new(t, [set, public, {write_concurrency, true}]),
    Self = self(),
    [spawn(fun() -> [ets:update_counter(Table, I rem 10, 1, {I rem 10, 0}) || I <- lists:seq(1, 2000)],
                    Self ! done end) || _ <- lists:seq(1, 8)],
    [receive done -> ok end || _ <- lists:seq(1, 8)],
    io:format("table ~p~n", [lists:sum([N || {_, N} <- ets:tab2list(Table)])]),
    {ok, Listen} = gen_tcp:listen(0, [binary, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listen),
    spawn(fun() -> {ok, S} = gen_tcp:accept(Listen), {ok, D} = gen_tcp:recv(S, 0), gen_tcp:send(S, [D, D]), gen_tcp:close(S) end),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
    ok = gen_tcp:send(Socket, <<"ping">>),
    io:format("socket ~p~n", [gen_tcp:recv(Socket, 8)]),
    io:format("~s", [os:cmd("echo port program")]),
    halt(6).

ring(N) ->
    Self = self(),
    First = lists:foldl(fun(_, Next) -> spawn(fun() -> receive X -> Next ! X + 1 end end) end, Self, lists:seq(1, N)),
    First ! 0,
    receive X -> X end.
