module NormFree.Tests.Data.RandomStreamTests

open Expecto
open NormFree.Data

let private bits (stream: RandomStream) = List.init 4 (fun _ -> stream.Bits())

let tests =
    testList
        "random streams"
        [ test "SplitMix64 matches the published sequence" {
              // The first outputs for seed 1234567 in Rosetta Code and the JDK.
              let expected =
                  [ 6457827717110365317UL; 3203168211198807973UL; 9817491932198370423UL; 4593380528125082431UL ]

              Expect.equal (bits (RandomStream.OfSeed 1234567UL)) expected "the sequence"
          }

          test "equal keys give equal streams; other keys, orders and lengths give other streams" {
              let keys =
                  [ [| 1L; 2L; 3L |]; [| 1L; 3L; 2L |]; [| 1L; 2L |]; [| 1L; 2L; 3L; 0L |]; [| -1L; 2L; 3L |]; [||] ]

              let streams = keys |> List.map (fun keys -> bits (RandomStream.OfKeys keys))
              Expect.equal (List.distinct streams).Length keys.Length "all differ"
              Expect.equal (bits (RandomStream.OfKeys(1L, 2L, 3L))) streams.Head "same keys"
          }

          test "neighbouring keys give independent bits" {
              // 64 · 1000 fair coin tosses have a standard deviation of 126.
              let distance i =
                  let first = RandomStream.OfKeys(7L, 0L, i)
                  let second = RandomStream.OfKeys(7L, 0L, i + 1L)
                  System.Numerics.BitOperations.PopCount(first.Bits() ^^^ second.Bits())

              let sum = Seq.sumBy distance (Seq.init 1000 int64)
              Expect.isLessThan (abs (sum - 32000)) 1000 "about half of the bits differ"
          }

          testProperty "Below is in range"
          <| fun (seed: int64) (bound: int) ->
              let bound = abs (bound % 1000) + 1
              let stream = RandomStream.OfKeys seed
              List.init 20 (fun _ -> stream.Below bound) |> List.forall (fun value -> value >= 0 && value < bound)

          test "Below is uniform" {
              let stream = RandomStream.OfKeys 3L
              let counts = Array.init 70000 (fun _ -> stream.Below 7) |> Array.countBy id |> Array.map snd
              Expect.equal counts.Length 7 "all values"

              for count in counts do
                  Expect.isLessThan (abs (count - 10000)) 500 "within five standard deviations"
          }

          test "Float is in [0, 1), Normal has mean 0 and standard deviation 1" {
              let stream = RandomStream.OfKeys 4L
              let floats = Array.init 10000 (fun _ -> stream.Float())
              Expect.isTrue (floats |> Array.forall (fun value -> value >= 0.0 && value < 1.0)) "in [0, 1)"
              Expect.isLessThan (abs (Array.average floats - 0.5)) 0.015 "mean of Float"
              let normals = Array.init 100000 (fun _ -> stream.Normal())
              let mean = Array.average normals
              let deviation = sqrt (normals |> Array.averageBy (fun value -> (value - mean) ** 2.0))
              Expect.isLessThan (abs mean) 0.015 "mean"
              Expect.isLessThan (abs (deviation - 1.0)) 0.015 "standard deviation"
          }

          testProperty "Shuffle keeps every item"
          <| fun (seed: int64) (items: int[]) ->
              let shuffled = Array.copy items
              RandomStream.OfKeys(seed).Shuffle shuffled
              Array.sort shuffled = Array.sort items ]
