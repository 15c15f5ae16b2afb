module NormFree.Tests.Data.LoaderTests

open System
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private flatNormalisation = { Mean = [| 0.0f; 0.5f; 0.25f |]; Deviation = [| 1.0f; 0.5f; 0.125f |] }

let private datasetOf (source: ImageSource) size augmentation =
    { Name = "test"
      Classes = Array.init 10 string
      Train = source
      Test = source
      Normalisation = flatNormalisation
      Size = size
      Augmentation = augmentation
      Notes = [] }

let private optionsFor source size batchSize =
    { Loader.training (datasetOf source size Augmentation.none) batchSize with
        Workers = 2
        Prefetch = 3 }

/// The images at these indices are unreadable.
let private broken (places: int list) (source: ImageSource) =
    { source with
        Load = fun i -> if List.contains i places then Error "it is made to fail" else source.Load i }

let private read options source = Loader.read options source (Loader.inOrder source.Count) |> Array.ofSeq

let private steps = [ RandomResizedCrop(0.08, 1.0, 16); Lighting(0.1, Corrected); Flip; PadCrop 2 ]

let tests =
    testList
        "the loader"
        [ test "returns every image once, in order, in batches of the requested size" {
              let source = noiseSource 10 8 (16 + 16 + 5)
              let order = Loader.shuffled 1L 1 source.Count
              let batches = Loader.read (optionsFor source 8 16) source order |> Array.ofSeq
              Expect.equal (batches |> Array.map _.Count) [| 16; 16; 5 |] "sizes"
              Expect.equal (batches |> Array.collect _.Indices) order "order"
              Expect.equal (batches |> Array.collect _.Labels) (order |> Array.map (fun i -> int64 (i % 10))) "labels"

              for batch in batches do
                  Expect.equal batch.Images.Length (batch.Count * 3 * 8 * 8) "floats"
          }

          test "returns normalised planes" {
              let image = { Width = 2; Height = 2; Pixels = [| 0uy .. 11uy |] }
              let source = ImageSource.ofImages "one" [| image, 3 |]
              let batch = (read (optionsFor source 2 1) source)[0]

              for c in 0..2 do
                  for i in 0..3 do
                      let expected =
                          (float image.Pixels[3 * i + c] / 255.0 - float flatNormalisation.Mean[c])
                          / float flatNormalisation.Deviation[c]

                      Expect.isLessThan (abs (float batch.Images[c * 4 + i] - expected)) 1e-6 "(x/255 − mean)/deviation"
          }

          for workers in [ 2; 5 ] do
              test $"{workers} workers give the same bits as one" {
                  let source = noiseSource 10 24 101

                  let run workers =
                      let options =
                          { optionsFor source 16 8 with Steps = steps; Workers = workers; Seed = 9L; Epoch = 4 }

                      read options source

                  Expect.equal (run workers) (run 1) "images, labels, indices"
              }

          test "augmentation depends on the epoch and the seed, but not on the order" {
              let source = noiseSource 10 24 20
              let options = { optionsFor source 16 1 with Steps = steps }

              let run options order =
                  Loader.read options source order
                  |> Seq.map (fun batch -> batch.Indices[0], batch.Images)
                  |> Map.ofSeq

              let straight = run options (Loader.inOrder 20)
              Expect.equal (run options (Array.rev (Loader.inOrder 20))) straight "another order"
              Expect.notEqual (run { options with Epoch = 1 } (Loader.inOrder 20)) straight "another epoch"
              Expect.notEqual (run { options with Seed = 1L } (Loader.inOrder 20)) straight "another seed"
          }

          testProperty "shuffled is a permutation that differs between epochs"
          <| fun (seed: int64) (epoch: int) ->
              let order = Loader.shuffled seed epoch 100
              Array.sort order = Array.init 100 id && order <> Loader.shuffled seed (epoch + 1) 100

          test "reports and skips unreadable images in order" {
              let source = noiseSource 10 8 20 |> broken [ 3; 4; 11; 16; 17; 18; 19 ]
              let seen = ResizeArray()
              let batches = read { optionsFor source 8 4 with Report = seen.Add } source

              Expect.equal
                  (batches |> Array.map _.Count)
                  [| 3; 3; 3; 4 |]
                  "empty batches are skipped, others are smaller"

              Expect.equal (batches |> Array.map _.Images.Length) [| 576; 576; 576; 768 |] "no gaps"
              Expect.equal (batches[0].Indices) [| 0; 1; 2 |] "the first"

              Expect.equal
                  (seen |> Seq.map _.Index |> List.ofSeq)
                  [ 3; 4; 11; 16; 17; 18; 19 ]
                  "all are reported in order"

              Expect.equal (seen |> Seq.map _.Total |> List.ofSeq) [ 1..7 ] "and counted"
              Expect.equal (seen[0].Name, seen[0].Reason) ("noise image 3", "it is made to fail") "by name and reason"
          }

          test "stops at the first unreadable image when Strict" {
              let source = noiseSource 10 8 20 |> broken [ 9 ]
              let seen = ResizeArray()

              let run () =
                  for batch in Loader.read { optionsFor source 8 4 with Strict = true } source (Loader.inOrder 20) do
                      seen.Add batch.Count

              let thrown = Expect.throwsC run id
              Expect.isTrue (thrown :? DataException) "the exception's type"
              contains [ "noise image 9"; "it is made to fail" ] thrown.Message
              Expect.equal (List.ofSeq seen) [ 4; 4 ] "the batches before it"
          }

          for count in [ 0; 7 ] do
              test $"throws if none of {count} images can be read" {
                  let source = noiseSource 10 8 count |> broken [ 0..6 ]
                  let thrown = Expect.throwsC (fun () -> read (optionsFor source 8 4) source |> ignore) id
                  Expect.isTrue (thrown :? DataException) "the exception's type"
                  contains [ $"of {count} images" ] thrown.Message
              }

          test "stops after a hundred consecutive unreadable images" {
              let seen = ResizeArray()

              let run places () =
                  let source = noiseSource 10 8 300 |> broken places
                  seen.Clear()

                  for batch in Loader.read (optionsFor source 8 20) source (Loader.inOrder 300) do
                      seen.Add batch.Progress.Places

              let thrown = Expect.throwsC (run [ 40..139 ]) id
              Expect.isTrue (thrown :? DataException) "the exception's type"
              contains [ "100 consecutive images"; "noise image 40"; "still available" ] thrown.Message
              Expect.equal (List.ofSeq seen) [ 20; 40 ] "the batches before, with their progress"
              run [ 40..138 ] ()
              Expect.equal seen.Count 11 "batches, if one image less is unreadable"
          }

          test "an image of another size is unreadable, and the reason has both sizes" {
              let source = ImageSource.ofImages "mixed" [| Image.blank 8 8, 0; Image.blank 9 7, 0 |]
              let seen = ResizeArray()
              read { optionsFor source 8 2 with Report = seen.Add } source |> ignore
              contains [ "9×7"; "8×8" ] seen[0].Reason
          }

          test "rethrows an exception of a source in the reader" {
              let source = { noiseSource 10 8 20 with Load = fun _ -> failwith "a bug" }
              let thrown = Expect.throwsC (fun () -> read (optionsFor source 8 4) source |> ignore) id
              Expect.equal thrown.Message "a bug" "the exception itself"
          }

          test "ends its threads at the end" {
              let source, threads = watched (noiseSource 10 8 50)
              read (optionsFor source 8 4) source |> ignore
              expectEnded threads
          }

          test "ends its threads when reading stops early" {
              let source, threads = watched (noiseSource 10 8 50)
              Loader.read (optionsFor source 8 4) source (Loader.inOrder 50) |> Seq.truncate 2 |> Seq.iter ignore
              expectEnded threads
          }

          test "throws OperationCanceledException when cancelled, and ends its threads" {
              let source, threads = watched (noiseSource 10 8 50)
              use cancellation = new CancellationTokenSource()
              let options = { optionsFor source 8 4 with Cancellation = cancellation.Token }

              let run () =
                  for _ in Loader.read options source (Loader.inOrder 50) do
                      cancellation.Cancel()

              expectCancelled run
              expectEnded threads
          }

          test "cancellation interrupts the wait for a slow image" {
              use release = new ManualResetEventSlim(false)
              use cancellation = new CancellationTokenSource(50)
              let source = noiseSource 10 8 8

              let slow =
                  { source with
                      Load =
                          fun i ->
                              (if i = 5 then
                                   release.Wait(200) |> ignore)

                              source.Load i }

              let options = { optionsFor source 8 4 with Cancellation = cancellation.Token }
              expectCancelled (fun () -> Loader.read options slow (Array.create 10 5) |> Seq.iter ignore)
          }

          test "prepares at most Prefetch batches" {
              let loads = ref 0
              let noise = noiseSource 10 8 200

              let load i =
                  Interlocked.Increment loads |> ignore
                  noise.Load i

              let source = { noise with Load = load }
              let options = { optionsFor source 8 4 with Prefetch = 3 }
              use batches = (Loader.read options source (Loader.inOrder 200)).GetEnumerator()
              batches.MoveNext() |> ignore
              Thread.Sleep 150
              Expect.isLessThanOrEqual loads.Value ((1 + 3) * 4) "the current batch and three ahead"
          }

          test "can be enumerated again" {
              let source = noiseSource 10 8 10
              let batches = Loader.read (optionsFor source 8 4) source (Loader.inOrder 10)
              Expect.equal (Array.ofSeq batches) (Array.ofSeq batches) "equal"
          }

          test "rejects invalid options" {
              let source = noiseSource 10 8 10

              for options in
                  [ { optionsFor source 8 4 with Workers = 0 }
                    optionsFor source 8 0
                    { optionsFor source 8 4 with Prefetch = 0 } ] do
                  Expect.throwsT<ArgumentException>
                      (fun () -> Loader.read options source [| 0 |] |> ignore)
                      "before reading"
          } ]
