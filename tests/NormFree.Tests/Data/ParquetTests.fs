/// Image data sets in Parquet files, as on the Hugging Face hub.
module NormFree.Tests.Data.ParquetTests

open System
open System.IO
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support
open NormFree.Tests.Data.ParquetSupport
open Parquet
open Parquet.Schema

let tests =
    testList
        "Parquet files of images"
        [ testList "repositories" ParquetRepositoryTests.repositories
          testList "labels" ParquetRepositoryTests.labels

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
