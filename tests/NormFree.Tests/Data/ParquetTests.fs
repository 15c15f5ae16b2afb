/// Image data sets in Parquet files, as on the Hugging Face hub.
module NormFree.Tests.Data.ParquetTests

open System
open System.Collections.Generic
open System.IO
open System.Threading.Tasks
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support
open Parquet
open Parquet.Schema

let private picture i = png (noise (RandomStream.OfKeys(int64 i)) 40 40)

let private hub names =
    let quoted = names |> List.map (fun name -> $"\"{name}\"") |> String.concat ","

    """{"info":{"features":{"image":{"_type":"Image"},"label":{"names":["""
    + quoted
    + """],"_type":"ClassLabel"}}}}"""

let private column<'T> name = DataField(name, typeof<'T>, Nullable true, Nullable false, null)

/// A file of images, and what `write` adds to each of its two row groups from the rest of the rows.
let private tableOf
    metadata
    (fields: Field list)
    (rows: (byte[] * 'rest) list)
    (write: ParquetRowGroupWriter -> 'rest list -> Task)
    =
    let bytes, path = column<byte[]> "bytes", column<string> "path"
    let schema = ParquetSchema((StructField("image", bytes, path) :> Field) :: fields)
    let buffer = new MemoryStream()

    let work =
        task {
            use! writer = ParquetWriter.CreateAsync(schema, buffer)

            match metadata with
            | Some text -> writer.CustomMetadata <- Dictionary(dict [ "huggingface", text ])
            | None -> ()

            for part in List.splitInto 2 rows do
                use group = writer.CreateRowGroup()
                do! group.WriteAsync(bytes, [| for image, _ in part -> image |])
                do! group.WriteAsync(path, [| for _ in part -> "x.png" |])
                do! write group (List.map snd part)
        }

    work.GetAwaiter().GetResult()
    buffer.ToArray()

/// A file of images and labels in two row groups.
let private table (metadata: string option) (rows: (byte[] * int64) list) =
    let label = column<int64> "label"

    tableOf metadata [ label :> Field ] rows (fun group labels ->
        group.WriteAsync<int64>(label, ReadOnlyMemory [| for label in labels -> Nullable label |]))

/// The same with names of classes, of which null is none.
let private namedTable (rows: (byte[] * string) list) =
    let label = column<string> "label"
    tableOf None [ label :> Field ] rows (fun group labels -> group.WriteAsync(label, List.toArray labels))

/// The same without labels.
let private unlabelledTable images =
    tableOf None [] [ for image in images -> image, () ] (fun _ _ -> Task.CompletedTask)

/// The same with labels of another type.
let private typedTable<'T when 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType> (toLabel: int -> 'T) rows =
    let label = DataField<'T>("label")

    tableOf None [ label :> Field ] rows (fun group labels ->
        group.WriteAsync<'T>(label, ReadOnlyMemory [| for label in labels -> toLabel label |]))

let private rows first count = [ for i in first .. first + count - 1 -> picture i, int64 (i % 2) ]
let private animals = Some(hub [ "cat"; "dog" ])

let private inFolder files run =
    use folder = new TempFolder()

    for name: string, bytes: byte[] in files do
        folder.Write("set/" + name, bytes) |> ignore

    run (folder.File "set")

let private loadWith options files = inFolder files (fun path -> Catalogue.load ImageFolder (Some path) options)
let private load = loadWith Catalogue.defaults

let private shards =
    lazy
        [ "data/train-00000-of-00002.parquet", table animals (rows 0 4)
          "data/train-00001-of-00002.parquet", table animals (rows 4 3)
          "data/test-00000-of-00001.parquet", table animals (rows 20 2)
          "README.md", "x"B ]

let private loadFolder folder = loadWith { Catalogue.defaults with Folder = folder }
let private notes (dataset: Dataset) = String.concat "\n" dataset.Notes

/// Files of a repository of the hub, as people have them.
let private repositories =
    [ test "several configurations are not mixed" {
          let files =
              [ for name in [ "160px"; "320px" ] do
                    $"{name}/train-00000-of-00001.parquet", table animals (rows 0 4)
                    $"{name}/validation-00000-of-00001.parquet", table animals (rows 4 2) ]

          contains [ "several data sets"; "160px, 320px"; "one of them" ] (errors (load files))
      }

      test "a missing shard is an error, or is named if the loss is accepted" {
          let files = List.tail shards.Value
          contains [ "shards are missing"; "train-00000-of-00002.parquet"; "--allow-left-out" ] (errors (load files))
          let dataset = ok (loadFolder { ImageFolder.defaults with AllowLeftOut = true } files)
          Expect.equal dataset.Train.Count 3 "the other shard"
          contains [ "the shard is missing"; "train-00000-of-00002.parquet" ] (notes dataset)
      }

      for what, unlabelled in
          [ "labels of −1", table animals [ for i in 0..2 -> picture i, -1L ]
            "no column of labels", unlabelledTable [ picture 1; picture 2 ] ] do
          test $"a test split with {what} is replaced by the validation split, or is an error" {
              let train = "train-00000-of-00001.parquet", table animals (rows 0 4)
              let files = [ train; "test-00000-of-00001.parquet", unlabelled ]
              let both = ("validation-00000-of-00001.parquet", table animals (rows 4 2)) :: files
              let dataset = ok (load both)
              Expect.equal (dataset.Train.Count, dataset.Test.Count) (4, 2) "counts"
              contains [ "has no labels"; "test-00000-of-00001.parquet" ] (notes dataset)
              contains [ "'test' have no labels"; "--held-out" ] (errors (load files))
          }

      test "what is not read is named" {
          let files =
              ("preview.png", picture 1)
              :: (".cache/train.parquet", table animals (rows 0 2))
              :: ("data/validation-00000-of-00001.parquet", table animals (rows 4 2))
              :: ("data/unsupervised-00000-of-00001.parquet", table animals (rows 4 2))
              :: shards.Value

          let dataset = ok (load files)
          Expect.equal (dataset.Train.Count, dataset.Test.Count) (7, 2) "counts"

          contains
              [ "the split is not used (data/unsupervised-00000-of-00001.parquet, data/validation-00000-of-00001.parquet)"
                "hidden files and folders are not read (.cache/train.parquet)"
                "beside the Parquet files (preview.png)" ]
              (notes dataset)
      }

      test "class folders with a Parquet file are class folders" {
          let folders =
              [ for split in [ "train"; "test" ] do
                    for label in [ "a"; "b" ] -> $"{split}/{label}/1.png", picture 1 ]

          let dataset = ok (load (("train.parquet", table animals (rows 0 4)) :: folders))
          Expect.equal dataset.Classes [| "a"; "b" |] "classes"
      }

      test "the only split is the training split, whatever its name is" {
          let dataset =
              ok (
                  loadWith
                      { Catalogue.defaults with HeldOut = Some(0.2, 1L) }
                      [ "images.parquet", table animals (rows 0 10) ]
              )

          Expect.equal dataset.Train.Count 10 "images"

          contains
              [ "a training split"; "--train-split: a, b" ]
              (errors (load [ "a.parquet", table animals (rows 0 2); "b.parquet", table animals (rows 2 2) ]))
      }

      for what, head, words in
          [ "a Git LFS pointer",
            "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n"B,
            [ "git lfs pull" ]
            "a web page", "<!DOCTYPE html><html>"B, [ "Download the file again" ] ] do
          test $"{what} in place of a file is named" {
              let files = ("data/train-00000-of-00002.parquet", head) :: List.tail shards.Value
              contains ("train-00000-of-00002.parquet" :: what :: words) (errors (load files))
          } ]

let private labels =
    [ test "names are classes, and rows without one are named" {
          let train =
              namedTable
                  [ picture 1, "dog"; picture 2, "cat"; picture 3, Unchecked.defaultof<string>; picture 4, "dog" ]

          let dataset = ok (load [ "train.parquet", train; "test.parquet", namedTable [ picture 5, "cat" ] ])
          Expect.equal (dataset.Classes, dataset.Train.Count, dataset.Test.Count) ([| "cat"; "dog" |], 3, 1) "classes"
          contains [ "no label"; "train.parquet row 2" ] (notes dataset)
      }

      test "names that no training image has are an error" {
          let files =
              [ "train.parquet", namedTable [ picture 1, "dog"; picture 2, "cat" ]
                "test.parquet", namedTable [ picture 5, "bird" ] ]

          contains [ "no training image has: bird" ] (errors (load files))
      }

      test "names and numbers are not mixed" {
          let files =
              [ "train.parquet", namedTable [ picture 1, "dog"; picture 2, "cat" ]
                "test.parquet", table None (rows 4 2) ]

          contains [ "are names, those of others are numbers" ] (errors (load files))
      }

      for kind, table in
          [ "int8", typedTable sbyte
            "uint8", typedTable byte
            "uint16", typedTable uint16
            "uint32", typedTable uint32
            "uint64", typedTable uint64 ] do
          test $"labels may be {kind}" {
              let file = table [ for i in 0..5 -> picture i, i % 3 ]
              let dataset = ok (load [ "train.parquet", file; "test.parquet", file ])
              Expect.equal (List.init 6 dataset.Train.Label) [ 0; 1; 2; 0; 1; 2 ] "labels"
          }

      test "large numbers without names of classes are an error" {
          let files =
              [ "train.parquet", table None [ picture 1, 1L <<< 40; picture 2, 0L ]
                "test.parquet", table None (rows 4 2) ]

          contains [ "1099511627776"; "below 100000" ] (errors (load files))
      }

      test "a split without any label is an error" {
          let files =
              [ "train.parquet", table animals [ for i in 0..3 -> picture i, -1L ]
                "test.parquet", table animals (rows 4 2) ]

          contains [ "no training image has a label" ] (errors (load files))
      }

      test "a file that decompresses to more than 200 times its size is rejected" {
          use folder = new TempFolder()
          let path = folder.File "set/train.parquet"
          Directory.CreateDirectory(folder.File "set") |> ignore
          let image, label = DataField<byte[]>("image"), DataField<int64>("label")

          (task {
              use stream = File.Create path

              use! writer =
                  ParquetWriter.CreateAsync(
                      ParquetSchema [ image :> Field; label :> Field ],
                      stream,
                      ParquetOptions(CompressionMethod = CompressionMethod.Gzip)
                  )

              use group = writer.CreateRowGroup()
              do! group.WriteAsync(image, [| Array.zeroCreate<byte> 20_000_000 |])
              do! group.WriteAsync<int64>(label, ReadOnlyMemory [| 0L |])
          })
              .GetAwaiter()
              .GetResult()

          let before = GC.GetAllocatedBytesForCurrentThread()

          contains
              [ "train.parquet"; "200 times" ]
              (errors (Catalogue.load ImageFolder (Some path) { Catalogue.defaults with HeldOut = Some(0.2, 1L) }))

          Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 5_000_000L "allocated"
      }

      test "a row without an image is an unreadable image" {
          let files =
              [ "train.parquet", table animals ((Unchecked.defaultof<byte[]>, 1L) :: rows 0 4)
                "test.parquet", table animals (rows 4 2) ]

          let dataset = ok (load files)
          Expect.equal dataset.Train.Count 5 "rows"
          contains [ "no image" ] (error (dataset.Train.Load 0))
      } ]

let tests =
    testList
        "Parquet files of images"
        [ testList "repositories" repositories
          testList "labels" labels

          test "shards of the hub are read with their class names" {
              let dataset = ok (load shards.Value)
              Expect.equal dataset.Classes [| "cat"; "dog" |] "names"
              Expect.equal (dataset.Train.Count, dataset.Test.Count, dataset.Size) (7, 2, 40) "counts and size"

              for i in 0..6 do
                  Expect.equal
                      (dataset.Train.Label i, ok (dataset.Train.Load i))
                      (i % 2, ok (Decode.image (picture i)))
                      "label and image"

              contains [ "train-00001-of-00002.parquet row 2" ] (dataset.Train.Name 6)
          }

          test "folders name the splits, and classes without names are numbers" {
              let dataset =
                  ok (
                      load
                          [ "default/train/0000.parquet", table None (rows 0 4)
                            "default/validation/0000.parquet", table None (rows 4 2) ]
                  )

              Expect.equal (dataset.Classes, dataset.Train.Count, dataset.Test.Count) ([| "0"; "1" |], 4, 2) "numbers"
          }

          test "a single file is training data" {
              use folder = new TempFolder()
              let path = folder.Write("train.parquet", table animals (rows 0 10))
              contains [ "--held-out" ] (errors (Catalogue.load ImageFolder (Some path) Catalogue.defaults))

              let dataset =
                  ok (Catalogue.load ImageFolder (Some path) { Catalogue.defaults with HeldOut = Some(0.2, 1L) })

              Expect.equal (dataset.Train.Count, dataset.Test.Count) (10, 2) "counts"
          }

          test "splits can be named" {
              let folder = { ImageFolder.defaults with TrainSplit = Some "extra"; TestSplit = Some "test" }
              let files = ("data/extra-00000-of-00001.parquet", table animals (rows 30 6)) :: shards.Value
              let dataset = ok (loadWith { Catalogue.defaults with Folder = folder } files)
              Expect.equal (dataset.Train.Count, dataset.Test.Count) (6, 2) "counts"
              let wrong = { folder with TrainSplit = Some "none" }

              contains
                  [ "--train-split none"; "extra" ]
                  (errors (loadWith { Catalogue.defaults with Folder = wrong } files))
          }

          test "rows without a label are left out and named" {
              let files =
                  [ "train.parquet", table animals ((picture 9, -1L) :: rows 0 4)
                    "test.parquet", table animals (rows 4 2) ]

              let dataset = ok (load files)
              Expect.equal dataset.Train.Count 4 "the others"
              contains [ "1 file is left out"; "train.parquet row 0" ] (String.concat "\n" dataset.Notes)
          }

          test "files that are not Parquet or have other columns are errors" {
              let test = "test.parquet", table animals (rows 4 2)

              contains
                  [ "train.parquet"; "truncated or damaged" ]
                  (errors (load [ "train.parquet", "PAR1PAR1"B; test ]))

              let column = DataField<int>("number")
              let buffer = new MemoryStream()

              (task {
                  use! writer = ParquetWriter.CreateAsync(ParquetSchema [ column :> Field ], buffer)
                  use group = writer.CreateRowGroup()
                  do! group.WriteAsync<int>(column, ReadOnlyMemory [| 1 |])
              })
                  .GetAwaiter()
                  .GetResult()

              contains
                  [ "train.parquet"; "no column of images"; "number" ]
                  (errors (load [ "train.parquet", buffer.ToArray(); test ]))
          }

          testPropertyWithConfig { FsCheckConfig.defaultConfig with maxTest = 60 } "damaged files give images or errors"
          <| fun (seed: int) ->
              let train, test = table animals (rows 0 4), table animals (rows 4 2)
              let before = GC.GetAllocatedBytesForCurrentThread()

              match load [ "train.parquet", mutate seed train; "test.parquet", test ] with
              | Error _ -> ()
              | Ok dataset ->
                  for i in 0 .. dataset.Train.Count - 1 do
                      dataset.Train.Load i |> ignore
                      let label = dataset.Train.Label i
                      Expect.isTrue (label >= 0 && label < dataset.Classes.Length) "labels are classes"

              Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 200_000_000L "allocated"

          test "CIFAR-10 from the hub is CIFAR-10" {
              let names = Some(hub (List.ofArray (Cifar.classes Cifar.Ten)))
              let rows = [ for i in 0..9 -> png (noise (RandomStream.OfKeys(int64 i)) 32 32), int64 i ]

              let files =
                  [ "plain_text/train-00000-of-00001.parquet", table names rows
                    "plain_text/test-00000-of-00001.parquet", table names rows ]

              let dataset = ok (inFolder files (fun path -> Catalogue.load Cifar10 (Some path) Catalogue.defaults))

              Expect.equal
                  (dataset.Size, dataset.Normalisation, dataset.Classes)
                  (32, Normalisation.cifar10, Cifar.classes Cifar.Ten)
                  "as CIFAR-10"
          } ]
