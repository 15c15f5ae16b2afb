module NormFree.Tests.Data.CatalogueTests

open System
open System.IO
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private defaults = Catalogue.defaults

let private firstBatch (dataset: Dataset) =
    let options = { Loader.training dataset 16 with Strict = true; Workers = 2 }
    Loader.read options dataset.Train (Loader.shuffled 1L 0 dataset.Train.Count) |> Seq.head

let private counts (source: ImageSource) =
    Seq.init source.Count source.Label |> Seq.countBy id |> Seq.sort |> List.ofSeq

/// Image folders with one image per class and split.
let private writeFolders (folder: TempFolder) classes width height =
    for split in [ "train"; "test" ] do
        for label in classes do
            folder.Write($"{split}/{label}/1.png", png (noise (RandomStream.OfKeys 1L) width height)) |> ignore

    folder.Path

let tests =
    testList
        "the catalogue"
        [ test "opens the synthetic data set without a path, with the requested counts and size" {
              let dataset = ok (Catalogue.load Synthetic None { defaults with Synthetic = 50, 20; Size = Some 48 })
              Expect.equal (dataset.Train.Count, dataset.Test.Count, dataset.Size) (50, 20, 48) "counts and size"
              Expect.equal (firstBatch dataset).Side 48 "side of batches"
          }

          for kind, parts in
              [ Cifar10, [ "data_batch_1.bin"; "normfree data get cifar10" ]
                Cifar100, [ "train.bin"; "normfree data get cifar100" ]
                ImageFolder, [ "train/<class>/*.jpg" ]
                FashionMnist, [ "train-images-idx3-ubyte" ] ] do
              test $"{kind} without a path or at a missing path is an error with the expected files" {
                  contains ("nowhere" :: parts) (errors (Catalogue.load kind (Some "nowhere") defaults))
                  contains ("--data" :: parts) (errors (Catalogue.load kind None defaults))
              }

          test "all invalid options are named" {
              let options = { defaults with Size = Some 0; Limit = Some -1; TestLimit = Some 0 }
              contains [ "--size"; "--limit"; "--test-limit" ] (errors (Catalogue.load Synthetic None options))
          }

          test "32×32 image folders with CIFAR-10's classes use its normalisation and augmentation" {
              use folder = new TempFolder()
              let path = writeFolders folder (Cifar.classes Cifar.Ten) 32 32

              for kind in [ Cifar10; ImageFolder ] do
                  let dataset = ok (Catalogue.load kind (Some path) defaults)
                  Expect.equal (dataset.Size, dataset.Normalisation) (32, Normalisation.cifar10) "as CIFAR"
                  Expect.equal dataset.Augmentation Augmentation.cifar "steps"
                  Expect.equal (firstBatch dataset).Count 10 "a batch"
          }

          test "image folders of other classes are not CIFAR-10" {
              use folder = new TempFolder()
              let path = writeFolders folder [ "cat"; "dog" ] 32 32
              contains [ "2 classes are not those of cifar10" ] (errors (Catalogue.load Cifar10 (Some path) defaults))

              Expect.equal
                  (ok (Catalogue.load ImageFolder (Some path) defaults)).Normalisation
                  Normalisation.imageNet
                  "ImageNet's"
          }

          test "image folders of other sizes are resized to 224 or to the requested size" {
              use folder = new TempFolder()
              let path = writeFolders folder [ "cat"; "dog" ] 40 30
              Expect.equal (ok (Catalogue.load ImageFolder (Some path) defaults)).Size 224 "by default"
              let dataset = ok (Catalogue.load ImageFolder (Some path) { defaults with Size = Some 24 })
              Expect.equal (firstBatch dataset).Side 24 "as requested"
              let tested = Loader.read (Loader.testing dataset 8) dataset.Test [| 0; 1 |] |> Seq.exactlyOne
              Expect.equal (tested.Count, tested.Side) (2, 24) "for testing too"
          }

          test "a single file of records is used as both splits" {
              use folder = new TempFolder()
              let path = folder.Write("part.bin", Array.zeroCreate (3073 * 4))
              let dataset = ok (Catalogue.load Cifar10 (Some path) defaults)
              Expect.equal (dataset.Train.Count, dataset.Test.Count) (4, 4) "counts"
              contains [ "part.bin"; "3074" ] (errors (Catalogue.load Cifar100 (Some path) defaults))
          }

          test "known data sets open at a path, or throw all errors" {
              use folder = new TempFolder()
              let dataset = Dataset.cifar10.At(folder.Write("part.bin", Array.zeroCreate (3073 * 4)))

              Expect.equal
                  (dataset.Classes, dataset.Size)
                  (Dataset.cifar10.Classes, Dataset.cifar10.Size)
                  "as announced"

              Expect.equal (Dataset.synthetic.At("").Train.Count) 6000 "the synthetic data set ignores the path"
              let thrown = Expect.throwsC (fun () -> Dataset.cifar100.At(folder.File "nowhere") |> ignore) id
              Expect.isTrue (thrown :? DataException) "the exception's type"
              contains [ "nowhere"; "normfree data get cifar100" ] thrown.Message
          }

          test "CIFAR-100's labels are fine by default" {
              let path = shared "cifar100-test-sample.bin"

              let classes labels =
                  (ok (Catalogue.load Cifar100 (Some path) { defaults with Labels = labels })).Classes.Length

              Expect.equal (classes Fine, classes Coarse) (100, 20) "classes"
          }

          test "the real cifar10-jpeg.zip is CIFAR-10, and a limit balances the classes" {
              let path = shared "cifar10-jpeg.zip"

              let dataset =
                  ok (Catalogue.load Cifar10 (Some path) { defaults with Limit = Some 10000; TestLimit = Some 100 })

              Expect.equal (counts dataset.Train) [ for label in 0..9 -> label, 1000 ] "1000 of each"
              Expect.equal (counts dataset.Test) [ for label in 0..9 -> label, 10 ] "10 of each"

              Expect.equal
                  (dataset.Size, dataset.Normalisation, dataset.Classes)
                  (32, Normalisation.cifar10, Cifar.classes Cifar.Ten)
                  "as CIFAR-10"

              let options = { Loader.training dataset 100 with Strict = true; Workers = 5 }

              let batches =
                  Loader.read options dataset.Train (Loader.shuffled 1L 0 10000 |> Array.truncate 2000) |> List.ofSeq

              Expect.equal (batches |> List.sumBy _.Count) 2000 "all are read"
              let mean = batches |> List.averageBy (fun batch -> batch.Images |> Array.averageBy float)
              Expect.isLessThan (abs mean) 0.3 "about 0 (the black padding lowers it)"
          }

          test "an image of the real zip is close to its lossless original" {
              let zipped = ok (Catalogue.load Cifar10 (Some(shared "cifar10-jpeg.zip")) defaults)
              let lossless = ok (Catalogue.load Cifar10 (Some(shared "cifar10-test-sample.bin")) defaults)

              let difference (a: Image) (b: Image) =
                  Array.map2 (fun (x: byte) (y: byte) -> abs (float x - float y)) a.Pixels b.Pixels |> Array.average

              // The zip's order within a class is unknown: compares with the nearest image of the class.
              let original = ok (lossless.Train.Load 0)
              let label = lossless.Train.Label 0
              let candidates = Seq.init zipped.Test.Count id |> Seq.filter (fun i -> zipped.Test.Label i = label)
              let nearest = candidates |> Seq.map (fun i -> difference original (ok (zipped.Test.Load i))) |> Seq.min
              Expect.isLessThan nearest 12.0 "grey levels"
          }

          test "the real imagenette224.tar is read at 128 pixels" {
              let path = shared "imagenette224.tar"
              let dataset = ok (Catalogue.load ImageFolder (Some path) { defaults with Size = Some 128 })

              Expect.equal
                  (dataset.Classes.Length, dataset.Train.Count, dataset.Test.Count)
                  (10, 9469, 3925)
                  "classes and images"

              Expect.equal dataset.Name "imagenette224.tar" "the name"
              let batch = firstBatch dataset
              Expect.equal (batch.Count, batch.Images.Length) (16, 16 * 3 * 128 * 128) "a batch"
              Expect.equal (ok (Catalogue.load ImageFolder (Some path) defaults)).Size 224 "224 by default"
          } ]
