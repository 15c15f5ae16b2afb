module NormFree.Tests.Data.ImageSourceTests

open System.Threading
open System.Threading.Tasks
open Expecto
open NormFree.Data

/// A source with these labels. The images do not matter.
let private labelled (labels: int[]) : ImageSource =
    { Count = labels.Length
      Label = fun i -> labels[i]
      Name = fun i -> $"image {i}"
      Load = fun _ -> Ok(Image.blank 1 1) }

let private counts (source: ImageSource) = Array.init source.Count source.Label |> Array.countBy id |> Array.sort

let private names (source: ImageSource) = Array.init source.Count source.Name

let private sorted = labelled (Array.init 1000 (fun i -> i / 100))

let tests =
    testList
        "image sources"
        [ test "limit balances the classes" {
              Expect.equal (counts (ImageSource.limit 200 1L sorted)) (Array.init 10 (fun c -> c, 20)) "20 of each"
          }

          test "limit takes the remainder from the first classes" {
              let expected = Array.init 10 (fun c -> c, (if c < 3 then 3 else 2))
              Expect.equal (counts (ImageSource.limit 23 1L sorted)) expected "2 per class, and 3 more"
          }

          test "limit fills up a small class from the others" {
              let source = labelled (Array.append (Array.create 2 0) (Array.create 98 1))
              Expect.equal (counts (ImageSource.limit 50 1L source)) [| 0, 2; 1, 48 |] "all of the small class"
          }

          test "limit keeps the order and depends only on the seed" {
              let taken seed = names (ImageSource.limit 100 seed sorted)
              Expect.equal (taken 1L) (taken 1L) "same seed"
              Expect.notEqual (taken 1L) (taken 2L) "another seed"
              let places = taken 1L |> Array.map (fun name -> int (name.Substring 6))
              Expect.equal places (Array.sort places) "in order"
          }

          test "limit above the count returns all images" {
              Expect.equal (ImageSource.limit 5000 1L sorted).Count 1000 "all"
          }

          testProperty "split divides every class, without loss or duplicates"
          <| fun (labels: byte[]) (seed: int64) (percent: byte) ->
              let source = labelled (labels |> Array.map (fun label -> int label % 5))
              let fraction = float (percent % 101uy) / 100.0
              let kept, held = ImageSource.split fraction seed source
              let expected = counts source |> Array.sumBy (fun (_, n) -> int (round (fraction * float n)))

              held.Count = expected
              && Array.sort (Array.append (names kept) (names held)) = Array.sort (names source)

          test "a cached source decodes each image once and has the same fingerprint" {
              let loads = Array.zeroCreate<int> 100

              let counting =
                  { sorted with
                      Count = 100
                      Load =
                          fun i ->
                              Interlocked.Increment(&loads[i]) |> ignore
                              if i = 7 then Error "damaged" else Ok(Image.blank 2 (1 + i)) }

              let source = ImageSource.cached 1_000_000L counting
              Expect.equal (ImageSource.fingerprint source) (ImageSource.fingerprint counting) "fingerprint"
              Array.fill loads 0 100 0
              let fresh = ImageSource.cached 1_000_000L counting

              for _ in 1..3 do
                  for i in 0..99 do
                      Expect.equal (fresh.Load i) (if i = 7 then Error "damaged" else Ok(Image.blank 2 (1 + i))) "image"

              Expect.equal loads (Array.init 100 (fun i -> if i = 7 then 3 else 1)) "loads"
          }

          test "a cache respects its limit with many threads" {
              let loads = [| 0 |]

              let counting =
                  { sorted with
                      Load =
                          fun _ ->
                              Interlocked.Increment(&loads[0]) |> ignore
                              Ok(Image.blank 10 10) }

              let source = ImageSource.cached (300L * 100L + 299L) counting
              let read () = Parallel.For(0, 1000, (fun i -> source.Load i |> ignore)) |> ignore
              read ()
              loads[0] <- 0
              read ()
              // Two threads that decode the same image may briefly occupy the last free space twice.
              Expect.isLessThanOrEqual (abs (loads[0] - 900)) 4 "images not cached"
          }

          test "subset returns the images at its indices" {
              Expect.equal
                  (names (ImageSource.subset [| 7; 3; 3 |] sorted))
                  [| "image 7"; "image 3"; "image 3" |]
                  "names"
          } ]
