module NormFree.Tests.Data.FashionMnistTests

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private idx (sizes: int list) (data: byte[]) =
    let bigEndian (value: int) =
        let bytes = Array.zeroCreate<byte> 4
        BinaryPrimitives.WriteInt32BigEndian(bytes, value)
        bytes

    Array.concat [ [| 0uy; 0uy; 8uy; byte sizes.Length |]; Array.concat (List.map bigEndian sizes); data ]

let private files =
    [ "train-images-idx3-ubyte", idx [ 5; 28; 28 ] (randomBytes 1 (5 * 784))
      "train-labels-idx1-ubyte", idx [ 5 ] [| 0uy; 9uy; 3uy; 3uy; 1uy |]
      "t10k-images-idx3-ubyte", idx [ 2; 28; 28 ] (randomBytes 2 (2 * 784))
      "t10k-labels-idx1-ubyte", idx [ 2 ] [| 7uy; 8uy |] ]

let private read (files: (string * byte[]) list) =
    use folder = new TempFolder()

    for name, bytes in files do
        folder.Write(name, bytes) |> ignore

    FashionMnist.read (ok (Archive.openWith FileSet.defaultLimits (fun _ -> true) folder.Path))

let private replace name bytes = files |> List.map (fun (file, old) -> file, (if file = name then bytes else old))

let tests =
    testList
        "Fashion-MNIST"
        [ for name, files in [ "plain", files; "gzipped", [ for name, bytes in files -> name + ".gz", gzip bytes ] ] do
              test $"reads {name} IDX files as RGB" {
                  let train, test = ok (read files)
                  Expect.equal (train.Count, test.Count) (5, 2) "counts"
                  Expect.equal (List.init 5 train.Label) [ 0; 9; 3; 3; 1 ] "labels"
                  checkSource 10 train
                  let image = ok (train.Load 3)
                  let greys = randomBytes 1 (5 * 784) |> Array.skip (3 * 784) |> Array.truncate 784
                  Expect.equal image.Pixels (greys |> Array.collect (fun grey -> [| grey; grey; grey |])) "pixels"
              }

          test "all missing files are named" {
              let message = errors (read (List.truncate 1 files))

              contains
                  [ "train-labels-idx1-ubyte"
                    "t10k-images-idx3-ubyte"
                    "t10k-labels-idx1-ubyte"
                    "dataset-fashion-mnist" ]
                  message
          }

          test "a truncated file, wrong dimensions and wrong labels are errors" {
              let images = snd files[0]

              contains
                  [ "train-images"; "announces 5×28×28" ]
                  (errors (read (replace "train-images-idx3-ubyte" images[..1000])))

              contains
                  [ "train-images"; "3 dimensions" ]
                  (errors (read (replace "train-images-idx3-ubyte" (snd files[1]))))

              contains
                  [ "5 images but 4 labels" ]
                  (errors (read (replace "train-labels-idx1-ubyte" (idx [ 4 ] [| 0uy; 1uy; 2uy; 3uy |]))))

              contains
                  [ "image 1"; "label is 10" ]
                  (errors (read (replace "t10k-labels-idx1-ubyte" (idx [ 2 ] [| 7uy; 10uy |]))))
          }

          for name, sizes, parts in
              [ "above the ratio limit", [ 100_000; 28; 28 ], [ "decompress to 78400000 bytes"; "200 times" ]
                "above the size limit", [ 1_000_000; 28; 28 ], [ "announces 1000000×28×28"; "536870912" ]
                "above its announced length", [ 5; 28; 28 ], [ "more than 3920 bytes"; "announces 5×28×28" ] ] do
              test $"a gzip {name} is rejected before its content is decompressed" {
                  use compressed = new MemoryStream()

                  using (new GZipStream(compressed, CompressionLevel.SmallestSize)) (fun stream ->
                      stream.Write(ReadOnlySpan(idx sizes (Array.zeroCreate (100_000 * 784)))))

                  let bomb = compressed.ToArray()
                  let rest = files |> List.filter (fun (name, _) -> name <> "train-images-idx3-ubyte")
                  let before = GC.GetAllocatedBytesForCurrentThread()
                  let result = read (("train-images-idx3-ubyte.gz", bomb) :: rest)
                  let allocated = GC.GetAllocatedBytesForCurrentThread() - before
                  contains ("train-images-idx3-ubyte.gz" :: parts) (errors result)
                  Expect.isLessThan allocated (int64 bomb.Length * 3L + 1_000_000L) "allocated"
              }

          testProperty "damaged files give images or errors"
          <| fun (seed: int) ->
              let name, bytes = files[abs (seed % 4)]

              for name, damaged in [ name, mutate seed bytes; name + ".gz", mutate seed (gzip bytes) ] do
                  let kept = files |> List.filter (fun (file, _) -> not (name.StartsWith file))

                  match read ((name, damaged) :: kept) with
                  | Error _ -> ()
                  | Ok(train, test) ->
                      checkSource 10 train
                      checkSource 10 test

          test "the real data set has 60 000 and 10 000 images" {
              let folder = "/usr/share/datasets/fashion-mnist"

              if not (Directory.Exists folder) then
                  skiptest "Debian's package dataset-fashion-mnist is not installed"

              let dataset = ok (Catalogue.load FashionMnist (Some folder) Catalogue.defaults)
              Expect.equal (dataset.Train.Count, dataset.Test.Count) (60000, 10000) "counts"
          } ]
