module NormFree.Tests.Data.CifarTests

open System
open System.IO
open System.Text
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private labelBytes kind = if kind = Cifar.Ten then 1 else 2

/// Records with labels 0, 1, … (CIFAR-100: coarse i % 20, fine i % 100) and random planes.
let private file kind seed count =
    let planes = randomBytes seed (count * Cifar.ImageBytes)

    [| for i in 0 .. count - 1 do
           if kind = Cifar.Ten then
               byte (i % 10)
           else
               yield! [ byte (i % 20); byte (i % 100) ]

           yield! planes[i * Cifar.ImageBytes .. (i + 1) * Cifar.ImageBytes - 1] |]

let private tenFiles =
    [ for i in 1..5 do
          $"cifar-10-batches-bin/data_batch_{i}.bin", file Cifar.Ten i 4
      "cifar-10-batches-bin/test_batch.bin", file Cifar.Ten 6 3 ]

let private hundredFiles =
    [ "cifar-100-binary/train.bin", file Cifar.HundredFine 1 30
      "cifar-100-binary/test.bin", file Cifar.HundredFine 2 3 ]

/// A batch in Python 2's pickle protocol 2, as in the distribution: strings are bytes, and the array is reconstructed from parts.
let private pickleOf (labelsKey: string) (labels: byte[] list) (planes: byte[]) =
    let text (value: string) = Array.concat [ [| byte 'U'; byte value.Length |]; Encoding.ASCII.GetBytes value ]
    let raw (value: string) = Encoding.ASCII.GetBytes value
    let int32 (value: int) = Array.append "J"B (BitConverter.GetBytes value)
    let long (value: byte[]) = Array.concat [ "T"B; BitConverter.GetBytes value.Length; value ]

    let dtype =
        Array.concat
            [ raw "cnumpy\ndtype\n"
              text "u1"
              int32 0
              int32 1
              [| 0x87uy |]
              raw "R("
              int32 3
              text "|"
              raw "NNN"
              int32 -1
              int32 -1
              int32 0
              raw "tb" ]

    let data =
        Array.concat
            [ raw "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
              int32 0
              [| 0x85uy |]
              text "b"
              [| 0x87uy |]
              raw "R("
              int32 1
              int32 labels.Length
              int32 Cifar.ImageBytes
              [| 0x86uy |]
              dtype
              [| 0x89uy |]
              long planes
              raw "tb" ]

    Array.concat
        [ [| 0x80uy; 2uy |]
          raw "}("
          text "data"
          data
          text labelsKey
          raw "]("
          Array.concat labels
          raw "e"
          text "batch_label"
          text "training batch 1 of 5"
          raw "u." ]

let private pickle labelsKey (labels: int list) planes =
    pickleOf labelsKey [ for label in labels -> Array.append "J"B (BitConverter.GetBytes label) ] planes

let private pythonFiles =
    [ for i in 1..5 do
          $"cifar-10-batches-py/data_batch_{i}", pickle "labels" [ 3; 1; 9 ] (randomBytes i (3 * Cifar.ImageBytes))
      "cifar-10-batches-py/test_batch", pickle "labels" [ 5 ] (randomBytes 6 Cifar.ImageBytes) ]

let private writeAll (folder: TempFolder) files =
    for name: string, bytes in files do
        folder.Write(name, bytes) |> ignore

let private openSet path = ok (Archive.openWith FileSet.defaultLimits (fun _ -> true) path)

let private expectPlanes (bytes: byte[]) start (image: Image) =
    for i in 0..1023 do
        for c in 0..2 do
            Expect.equal image.Pixels[3 * i + c] bytes[start + 1024 * c + i] "pixel"

let tests =
    testList
        "CIFAR"
        [ test "has 10, 20 and 100 classes, the 100 in alphabetical order" {
              Expect.equal (Cifar.classes Cifar.Ten).Length 10 "CIFAR-10"
              Expect.equal (Cifar.classes Cifar.HundredCoarse).Length 20 "coarse"
              let fine = Cifar.classes Cifar.HundredFine
              Expect.equal (Array.distinct fine).Length 100 "fine"
              Expect.equal (Array.sortWith (fun a b -> String.CompareOrdinal(a, b)) fine) fine "alphabetical"
          }

          for kind in [ Cifar.Ten; Cifar.HundredFine; Cifar.HundredCoarse ] do
              test $"{kind}: a record is a label and three planes" {
                  let bytes = file kind 3 25
                  let source = Cifar.source [ ok (Cifar.parse kind "f.bin" bytes) ]
                  Expect.equal source.Count 25 "records"

                  let expected =
                      match kind with
                      | Cifar.Ten -> 7
                      | Cifar.HundredFine -> 17
                      | Cifar.HundredCoarse -> 17

                  Expect.equal (source.Label 17) expected "the label"

                  if kind <> Cifar.Ten then
                      Expect.equal (source.Label 23) (if kind = Cifar.HundredFine then 23 else 3) "which label"

                  let stride = labelBytes kind + Cifar.ImageBytes
                  expectPlanes bytes (17 * stride + labelBytes kind) (ok (source.Load 17))
                  Expect.equal (source.Name 17) "f.bin record 17" "the name"
                  checkSource (Cifar.classes kind).Length source
              }

              test $"{kind}: a file of the wrong length is an error" {
                  let bytes = file kind 3 2

                  contains
                      [ "f.bin"; $"{bytes.Length - 1} bytes"; "normfree data get" ]
                      (error (Cifar.parse kind "f.bin" bytes[1..]))

                  contains [ "0 bytes" ] (error (Cifar.parse kind "f.bin" [||]))
              }

              test $"{kind}: a label that is not a class is an error with the record" {
                  let bytes = file kind 3 3
                  bytes[labelBytes kind + Cifar.ImageBytes] <- 250uy
                  bytes[labelBytes kind + Cifar.ImageBytes + labelBytes kind - 1] <- 250uy
                  contains [ "f.bin record 1"; "label is 250" ] (error (Cifar.parse kind "f.bin" bytes))
              }

              testProperty $"{kind}: damaged bytes give records or an error"
              <| fun (seed: int) ->
                  match Cifar.parse kind "f.bin" (mutate seed (file kind 1 2)) with
                  | Ok records -> checkSource (Cifar.classes kind).Length (Cifar.source [ records ])
                  | Error _ -> ()

          for name, make in
              [ "folder",
                (fun (folder: TempFolder) files ->
                    writeAll folder files
                    folder.Path)
                "tar.gz", (fun folder files -> folder.Write("cifar.tar.gz", gzip (tar files)))
                "zip",
                (fun folder files ->
                    zip (folder.File "cifar.zip") files
                    folder.File "cifar.zip") ] do
              test $"reads the binary distributions from a {name}" {
                  use folder = new TempFolder()
                  let train, test = ok (Cifar.read Cifar.Ten (openSet (make folder tenFiles)))
                  Expect.equal (train.Count, test.Count) (20, 3) "CIFAR-10"
                  contains [ "data_batch_2.bin record 3" ] (train.Name 7)
                  expectPlanes (snd tenFiles[1]) (3 * 3073 + 1) (ok (train.Load 7))
                  use folder = new TempFolder()
                  let train, test = ok (Cifar.read Cifar.HundredFine (openSet (make folder hundredFiles)))
                  Expect.equal (train.Count, test.Count) (30, 3) "CIFAR-100"
              }

              test $"reads the python distribution from a {name}" {
                  use folder = new TempFolder()
                  let set = openSet (make folder pythonFiles)

                  Expect.isTrue
                      (CifarPython.isPython Cifar.Ten set && not (Cifar.isBinary Cifar.Ten set))
                      "only the python distribution"

                  let train, test = ok (CifarPython.read Cifar.Ten set)
                  Expect.equal (train.Count, test.Count) (15, 1) "counts"
                  Expect.equal (List.init 4 train.Label) [ 3; 1; 9; 3 ] "labels"
                  contains [ "data_batch_2 record 1" ] (train.Name 4)
                  expectPlanes (randomBytes 2 (3 * Cifar.ImageBytes)) Cifar.ImageBytes (ok (train.Load 4))
              }

          test "python's CIFAR-100 has both labels" {
              let planes = randomBytes 1 (2 * Cifar.ImageBytes)
              let fine = ok (CifarPython.parse Cifar.HundredFine "train" (pickle "fine_labels" [ 99; 4 ] planes))

              let coarse =
                  ok (CifarPython.parse Cifar.HundredCoarse "train" (pickle "coarse_labels" [ 19; 4 ] planes))

              Expect.equal (fine.Labels, coarse.Labels) ([| 99; 4 |], [| 19; 4 |]) "labels"
          }

          test "reads a batch like Python" {
              let fixture = Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "fixtures", "pickle", "cifar-python2.pkl")

              let source =
                  Cifar.source [ ok (CifarPython.parse Cifar.Ten "data_batch_1" (File.ReadAllBytes fixture)) ]

              Expect.equal (List.init source.Count source.Label) [ 6; 9 ] "labels"
              expectPlanes (Array.init 6144 (fun i -> byte (i * 7 % 256))) 3072 (ok (source.Load 1))
          }

          test "labels may be NumPy's scalars of any integer type, of NumPy 1 and 2" {
              let scalar moduleName code (bytes: byte[]) =
                  Array.concat
                      [ Encoding.ASCII.GetBytes
                            $"c{moduleName}\nscalar\ncnumpy\ndtype\n(S'{code}'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
                        [| byte 'U'; byte bytes.Length |]
                        bytes
                        [| 0x86uy; byte 'R' |] ]

              let two = scalar "numpy.core.multiarray" "i8" (BitConverter.GetBytes 2L)
              let nine = scalar "numpy._core.multiarray" "u8" (BitConverter.GetBytes 9UL)

              let parse labels =
                  CifarPython.parse Cifar.Ten "data_batch_1" (pickleOf "labels" labels (randomBytes 1 6144))

              Expect.equal (ok (parse [ two; nine ])).Labels [| 2; 9 |] "labels"

              for _, value in
                  [ "a real number", scalar "numpy.core.multiarray" "f8" (BitConverter.GetBytes 2.0)
                    "too many bytes", scalar "numpy.core.multiarray" "i4" (BitConverter.GetBytes 2L)
                    "above the range", scalar "numpy.core.multiarray" "u8" (BitConverter.GetBytes UInt64.MaxValue) ] do
                  contains [ "data_batch_1"; "labels[1]"; "expected a 64-bit integer" ] (error (parse [ two; value ]))
          }

          test "a pickle with other content is an error that names what is missing" {
              let parse = CifarPython.parse Cifar.Ten "data_batch_1"
              contains [ "data_batch_1"; "labels" ] (error (parse (pickle "names" [ 1 ] (randomBytes 1 3072))))
              contains [ "record 1"; "label is 77" ] (error (parse (pickle "labels" [ 1; 77 ] (randomBytes 1 6144))))
              contains [ "data_batch_1" ] (error (parse (pickle "labels" [ 1; 2 ] (randomBytes 1 3072))))
              contains [ "data_batch_1" ] (error (parse "no pickle"B))
          }

          test "a pickle that calls a function is an error" {
              contains
                  [ "data_batch_1" ]
                  (error (CifarPython.parse Cifar.Ten "data_batch_1" "cos\nsystem\n(S'true'\ntR."B))
          }

          testProperty "a damaged pickle gives records or an error"
          <| fun (seed: int) ->
              let bytes = mutate seed (pickle "labels" [ 3 ] (randomBytes 1 3072))

              match CifarPython.parse Cifar.Ten "f" bytes with
              | Ok records -> checkSource 10 (Cifar.source [ records ])
              | Error _ -> ()

          test "all missing files are named" {
              use folder = new TempFolder()
              writeAll folder [ tenFiles[0]; tenFiles[3] ]
              let message = errors (Cifar.read Cifar.Ten (openSet folder.Path))

              contains
                  [ "data_batch_2.bin"
                    "data_batch_3.bin"
                    "data_batch_5.bin"
                    "test_batch.bin"
                    "normfree data get cifar10" ]
                  message
          }

          for name, kind in
              [ "cifar10-test-sample.bin", Cifar.Ten
                "cifar100-train-sample.bin", Cifar.HundredFine
                "cifar100-test-sample.bin", Cifar.HundredCoarse ] do
              test $"the real {name} has 800 images of most classes" {
                  let source, _ = ok (Cifar.readFile kind (shared name))
                  Expect.equal source.Count 800 "images"
                  checkSource (Cifar.classes kind).Length source
                  let seen = Seq.init 800 source.Label |> Seq.distinct |> Seq.length
                  Expect.isGreaterThan seen ((Cifar.classes kind).Length * 9 / 10) "classes"
              } ]
