-- Haskell's own scheduler on several CPUs: thousands of its threads, MVar and STM between them, timers,
-- the collector at work in parallel, blocked readers behind its I/O manager, exceptions thrown across threads.
module Main (main) where

import Control.Concurrent
import Control.Concurrent.STM
import Control.Exception
import Control.Monad
import qualified Data.Map.Strict as Map
import System.IO
import System.Posix.IO (createPipe, fdToHandle)
import System.Posix.Signals (Handler (Catch), installHandler, raiseSignal, sigUSR1)
import System.Timeout (timeout)

-- A ring of threads that hand a number on.
ring :: Int -> Int -> IO Int
ring size turns = do
  first <- newEmptyMVar
  lastOne <- foldM (\from _ -> do
                       to <- newEmptyMVar
                       _ <- forkIO (forever (takeMVar from >>= putMVar to . (+ 1)))
                       pure to) first [1 .. size]
  foldM (\n _ -> putMVar first n >> takeMVar lastOne) 0 [1 .. turns]

-- Transfers between accounts from many threads; the sum stays.
bank :: Int -> IO Int
bank threads = do
  accounts <- mapM (newTVarIO . const 1000) [1 .. 10 :: Int]
  done <- newTVarIO 0
  forM_ [1 .. threads] $ \t -> forkIO $ do
    forM_ [1 .. 200] $ \i -> atomically $ do
      let from = accounts !! (t * i `mod` 10)
          to = accounts !! (i `mod` 10)
      modifyTVar' from (subtract 1)
      modifyTVar' to (+ 1)
    atomically (modifyTVar' done (+ 1))
  atomically (readTVar done >>= check . (== threads))
  sum <$> mapM readTVarIO accounts

-- Each of them makes garbage.
compute :: Int -> IO Int
compute threads = do
  results <- forM [1 .. threads] $ \t -> do
    result <- newEmptyMVar
    _ <- forkIO $ do
      let m = Map.fromListWith (+) [(k `mod` 1009, k) | k <- [t .. t + 60000 :: Int]]
      putMVar result $! Map.foldl' (+) 0 m
    pure result
  sum <$> mapM takeMVar results

pipes :: IO Int
pipes = do
  sums <- forM [1 .. 20 :: Int] $ \_ -> do
    (readEnd, writeEnd) <- createPipe
    result <- newEmptyMVar
    from <- fdToHandle readEnd
    _ <- forkIO (hGetContents from >>= \text -> putMVar result $! length text)
    _ <- forkIO $ do
      to <- fdToHandle writeEnd
      forM_ [1 .. 50 :: Int] $ \_ -> hPutStr to (replicate 1000 'x') >> yield
      hClose to
    pure result
  sum <$> mapM takeMVar sums

main :: IO ()
main = do
  hSetBuffering stdout LineBuffering
  capabilities <- getNumCapabilities
  putStrLn (if capabilities >= 2 then "several" else "one")
  ring 500 40 >>= \n -> putStrLn ("ring " ++ show n)
  bank 200 >>= \n -> putStrLn ("bank " ++ show n)
  compute 8 >>= \n -> putStrLn ("compute " ++ show n)
  pipes >>= \n -> putStrLn ("pipes " ++ show n)
  late <- timeout 20000 (threadDelay 10000000)
  putStrLn ("timeout " ++ show late)
  caught <- newEmptyMVar
  victim <- forkIO (threadDelay 10000000 `catch` \e -> putMVar caught (show (e :: AsyncException)))
  threadDelay 1000
  killThread victim
  takeMVar caught >>= putStrLn
  signalled <- newEmptyMVar
  _ <- installHandler sigUSR1 (Catch (putMVar signalled "signal")) Nothing
  raiseSignal sigUSR1
  takeMVar signalled >>= putStrLn
  stuck <- try (newEmptyMVar >>= takeMVar) :: IO (Either BlockedIndefinitelyOnMVar ())
  print stuck
