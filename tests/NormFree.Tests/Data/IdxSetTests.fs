module NormFree.Tests.Data.IdxSetTests

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let idx (sizes: int list) (data: byte[]) =
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

let inFolder (files: (string * byte[]) list) run =
    use folder = new TempFolder()

    for name, bytes in files do
        folder.Write(name, bytes) |> ignore

    run folder

let private read files =
    inFolder files (fun folder ->
        Archive.openWith FileSet.defaultLimits (fun _ -> true) folder.Path
        |> ok
        |> IdxSetReader.read IdxSet.FashionMnist None
        |> Result.map (fun (_, _, splits) -> splits))

let load kind options files = inFolder files (fun folder -> Catalogue.load kind (Some folder.Path) options)
let defaults = Catalogue.defaults
let mnist = load Mnist defaults

/// Four files with labels from `first` on, one of each class.
let labelled (prefixes: string * string) first count side =
    let labels = Array.init count (fun i -> byte (first + i))

    [ for prefix in [ fst prefixes; snd prefixes ] do
          $"{prefix}-images-idx3-ubyte", idx [ count; side; side ] (randomBytes 7 (count * side * side))
          $"{prefix}-labels-idx1-ubyte", idx [ count ] labels ]

let standard = "train", "t10k"

/// The preprocessed test image at this index.
let private testImage (dataset: Dataset) index =
    let image = ok (dataset.Test.Load index)
    ok (Augment.run dataset.Augmentation.Test (RandomStream.OfKeys 1L) image)

let private replace name bytes = files |> List.map (fun (file, old) -> file, (if file = name then bytes else old))

let tests =
    testList
        "IDX sets"
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

          for what, rename in
              [ "as 7-Zip names them", (fun (name: string) -> name.Replace("-idx", ".idx"))
                "in folders of their names", (fun name -> $"{name}/{name}")
                "of torchvision's folders", (fun name -> $"MNIST/raw/{name}") ] do
              test $"files {what} are found" {
                  let train, test = ok (read [ for name, bytes in files -> rename name, bytes ])
                  Expect.equal (train.Count, test.Count) (5, 2) "counts"
              }

          test "a gzip that lacks a part of its checksum is rejected" {
              let name, bytes = List.head files
              let packed = gzip bytes

              for lost in 1..20 do
                  let cut = Array.truncate (packed.Length - lost) packed
                  contains [ name; "truncated or damaged" ] (errors (read ((name, cut) :: List.tail files)))
          }

          test "a gzip without .gz and a plain file with .gz are read by their content" {
              let swapped =
                  [ for i, (name, bytes) in List.indexed files ->
                        if i % 2 = 0 then name, gzip bytes else name + ".gz", bytes ]

              let train, test = ok (read swapped)
              Expect.equal (train.Count, test.Count) (5, 2) "counts"
          }

          test "two data sets below one folder are not mixed" {
              let two =
                  [ for folder in [ "MNIST/raw"; "FashionMNIST/raw" ] do
                        for name, bytes in files -> $"{folder}/{name}", bytes ]

              contains [ "several data sets"; "MNIST/raw"; "FashionMNIST/raw" ] (errors (read two))
          }

          test "each set has its own classes and normalisation" {
              let dataset = ok (mnist files)

              Expect.equal
                  (dataset.Name, dataset.Classes, dataset.Normalisation)
                  ("mnist", [| for i in 0..9 -> string i |], Normalisation.mnist)
                  "digits"

              let dataset = ok (load FashionMnist defaults files)
              Expect.equal dataset.Classes[9] "boot" "clothes"
          }

          test "images of 28×28 are padded to 32×32" {
              let dataset = ok (mnist (labelled standard 0 10 28))
              let padded = testImage dataset 3
              Expect.equal padded (Image.window -2 -2 32 32 (ok (dataset.Test.Load 3))) "black border of 2"
          }

          test "images of any other size are resized, not cropped" {
              for side in [ 16; 32; 64 ] do
                  let dataset = ok (mnist (labelled standard 0 10 side))
                  Expect.equal dataset.Size 32 "default"
                  Expect.equal (testImage dataset 3) (Resample.resize 32 32 (ok (dataset.Test.Load 3))) $"{side}"
                  let large = ok (load Mnist { defaults with Size = Some 48 } (labelled standard 0 10 side))
                  Expect.equal (testImage large 3) (Resample.resize 48 48 (ok (large.Test.Load 3))) $"{side} at 48"
          }

          test "labels beyond the classes name the remedies" {
              contains
                  [ "label is 10"; "10 classes"; "--dataset emnist"; "--class-names" ]
                  (errors (mnist (labelled standard 0 12 28)))
          }

          test "class names come from a file" {
              use folder = new TempFolder()
              let names = [| for i in 1..12 -> $"sign {i}" |]
              let path = folder.Write("names.txt", Text.Encoding.UTF8.GetBytes(String.Join("\r\n", names) + "\n"))
              let dataset = ok (load Mnist { defaults with ClassNames = Some path } (labelled standard 0 12 28))
              Expect.equal dataset.Classes names "names"

              let few = folder.Write("few.txt", "a\nb"B)

              contains
                  [ "label is 2"; "2 classes" ]
                  (errors (load Mnist { defaults with ClassNames = Some few } (labelled standard 0 12 28)))

              let twice = folder.Write("twice.txt", "a\nb\na"B)

              contains
                  [ "twice.txt"; "'a' twice" ]
                  (errors (load Mnist { defaults with ClassNames = Some twice } files))
          }

          test "files of other types are named as what they are" {
              let floats = Array.append [| 0uy; 0uy; 13uy; 3uy |] (Array.zeroCreate 32)
              contains [ "32-bit floats"; "bytes" ] (errors (mnist (replace "train-images-idx3-ubyte" floats)))

              contains
                  [ "web page"; "Download" ]
                  (errors (mnist (replace "train-images-idx3-ubyte" "<!DOCTYPE html><html>404</html>"B)))
          }

          test "the real data set has 60 000 and 10 000 images" {
              let folder = "/usr/share/datasets/fashion-mnist"

              if not (Directory.Exists folder) then
                  skiptest "Debian's package dataset-fashion-mnist is not installed"

              let dataset = ok (Catalogue.load FashionMnist (Some folder) Catalogue.defaults)
              Expect.equal (dataset.Train.Count, dataset.Test.Count) (60000, 10000) "counts"
          } ]
