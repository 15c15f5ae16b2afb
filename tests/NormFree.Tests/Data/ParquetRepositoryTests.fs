/// Repositories of the Hugging Face hub as people have them, and what their rows may hold.
module NormFree.Tests.Data.ParquetRepositoryTests

open System
open System.IO
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support
open NormFree.Tests.Data.ParquetSupport
open Parquet
open Parquet.Schema

/// Files of a repository of the hub, as people have them.
let repositories =
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

let labels =
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

          contains [ "have names as labels, and some have numbers" ] (errors (load files))
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

      test "a row without an image is an error: the images after it would get wrong labels" {
          let files =
              [ "train.parquet", table animals ((Unchecked.defaultof<byte[]>, 1L) :: rows 0 4)
                "test.parquet", table animals (rows 4 2) ]

          contains [ "train.parquet"; "rows without an image" ] (errors (load files))
      } ]
