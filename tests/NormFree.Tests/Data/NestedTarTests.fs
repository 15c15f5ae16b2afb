/// ImageNet, Tiny ImageNet and Kaggle's layout of ImageNet.
module NormFree.Tests.Data.NestedTarTests

open System.Text
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private limits = FileSet.defaultLimits
let private optional = { ImageFolder.defaults with TestOptional = true }
let private picture i = png (noise (RandomStream.OfKeys(int64 i)) 6 5)
let private wnids = [ "n01440764"; "n01443537" ]

/// A class's tar of two images.
let private classTar (wnid: string) = tar [ for i in 1..2 -> $"{wnid}_{i}.png", picture (i + int (wnid.Substring 1)) ]

let private allTar = tar [ for wnid in wnids -> $"{wnid}.tar", classTar wnid ]

/// Writes the files below the folder and opens it. The folder has to outlive the images.
let private openFiles (folder: TempFolder) options files =
    for name: string, bytes: byte[] in files do
        folder.Write("set/" + name, bytes) |> ignore

    ImageFolder.openPath limits options (folder.File "set")

let private valFolders = [ for wnid in wnids -> $"val/{wnid}/1.png", picture 9 ]

let private counts (images: FolderImages) =
    images.Train.Count, images.Test |> Option.map _.Count |> Option.defaultValue 0

/// Each image is the one of its class and name.
let private checkTrain (images: FolderImages) =
    Expect.equal (List.ofArray images.Classes) wnids "classes"

    let expected =
        [ for label, wnid in List.indexed wnids do
              for i in 1..2 -> label, $"{wnid}_{i}.png", ok (Decode.image (picture (i + int (wnid.Substring 1)))) ]

    let found =
        List.init images.Train.Count (fun i ->
            images.Train.Label i, FileSet.fileName (images.Train.Name i), ok (images.Train.Load i))

    Expect.equal found expected "labels, names and images"

let private tars =
    [ test "a tar of tars named ILSVRC2012_img_train.tar is a training split" {
          use folder = new TempFolder()
          let path = folder.Write("ILSVRC2012_img_train.tar", allTar)
          let images = ok (ImageFolder.openPath limits optional path)
          checkTrain images

          Expect.equal
              images.Train.Count
              (Array.Parallel.init 4 (fun i -> images.Train.Load i |> ok)).Length
              "from many threads"

          contains [ "--held-out" ] (errors (ImageFolder.openPath limits ImageFolder.defaults path))
      }

      test "an empty tar in a tar is a file without images" {
          use folder = new TempFolder()

          let path =
              folder.Write(
                  "all.tar",
                  tar (("empty.tar", [||]) :: [ for wnid in wnids -> $"{wnid}.tar", classTar wnid ])
              )

          let images = ok (ImageFolder.openPath limits optional path)
          Expect.equal (List.ofArray images.Classes) wnids "classes"
      }

      test "class tars in a folder are classes" {
          use folder = new TempFolder()

          let images =
              ok (
                  openFiles
                      folder
                      ImageFolder.defaults
                      ([ for wnid in wnids -> $"train/{wnid}.tar", classTar wnid ] @ valFolders)
              )

          checkTrain images
          Expect.equal (counts images) (4, 2) "counts"
      }

      test "a folder with the tar of all training images beside class folders" {
          use folder = new TempFolder()

          let images =
              ok (openFiles folder ImageFolder.defaults (("ILSVRC2012_img_train.tar", allTar) :: valFolders))

          checkTrain images
          Expect.equal (counts images) (4, 2) "counts"
      }

      test "tars beside extracted images are not read" {
          use folder = new TempFolder()

          let extracted =
              [ for split in [ "train"; "test" ] do
                    for wnid in wnids -> $"{split}/{wnid}/1.png", picture 1 ]

          let images = ok (openFiles folder ImageFolder.defaults (("old.tar", classTar "n01440764") :: extracted))
          Expect.equal (counts images) (2, 2) "counts"
      }

      test "a truncated inner tar is an error with its name" {
          use folder = new TempFolder()
          let cut = Array.truncate 700 (classTar "n01440764")

          let text =
              errors (
                  openFiles folder optional [ "train/n01440764.tar", cut; "train/n01443537.tar", classTar "n01443537" ]
              )

          contains [ "n01440764.tar"; "truncated or damaged" ] text
      }

      test "an inner entry that reaches beyond its tar is an error" {
          let liar = Array.concat [ tarHeader "x.png" 5000L '0'; Array.zeroCreate 1024 ]
          let outer = tar [ "n01440764.tar", liar; "n01443537.tar", classTar "n01443537" ]
          use folder = new TempFolder()
          let path = folder.Write("train.tar", outer)
          contains [ "x.png"; "longer than the tar" ] (errors (ImageFolder.openPath limits optional path))
      }

      for kind, said in [ '1', "is a link"; '2', "is a link"; '3', "device"; '6', "pipe" ] do
          test $"an entry of type {kind} in an inner tar is an unreadable image" {
              let entry = tarHeader "x.png" 0L kind

              let inner = Array.concat [ entry; tar [ "n01440764_1.png", picture 1; "n01440764_2.png", picture 2 ] ]

              use folder = new TempFolder()
              let outer = tar [ "n01440764.tar", inner; "n01443537.tar", classTar "n01443537" ]
              let images = ok (ImageFolder.openPath limits optional (folder.Write("train.tar", outer)))
              Expect.equal images.Train.Count 5 "images"

              let problems =
                  List.init 5 images.Train.Load
                  |> List.choose (function
                      | Error problem -> Some problem
                      | Ok _ -> None)

              Expect.hasLength problems 1 "the entry"
              contains [ said ] problems.Head
          }

      testPropertyWithConfig
          { FsCheckConfig.defaultConfig with maxTest = 40 }
          "damaged tars of tars give images or errors"
      <| fun (seed: int) ->
          use folder = new TempFolder()

          match ImageFolder.openPath limits optional (folder.Write("train.tar", mutate seed allTar)) with
          | Error _ -> ()
          | Ok images ->
              for i in 0 .. images.Train.Count - 1 do
                  images.Train.Load i |> ignore ]

let private kaggle =
    [ for wnid in wnids do
          for i in 1..2 do
              $"ILSVRC/Data/CLS-LOC/train/{wnid}/{wnid}_{i}.png", picture (i + int (wnid.Substring 1))
      for i in 1..3 do
          $"ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_{i}.png", picture (100 + i)
          $"ILSVRC/Data/CLS-LOC/test/ILSVRC2012_test_{i}.png", picture (200 + i) ]

let private tiny =
    [ for wnid in wnids do
          for i in 1..2 do
              $"tiny-imagenet-200/train/{wnid}/images/{wnid}_{i}.png", picture (i + int (wnid.Substring 1))
      for i in 0..2 do
          $"tiny-imagenet-200/val/images/val_{i}.png", picture (100 + i)
          $"tiny-imagenet-200/test/images/test_{i}.png", picture (200 + i) ]

let private labelFiles =
    [ test "Kaggle's layout with LOC_val_solution.csv has labelled validation images" {
          use folder = new TempFolder()

          let csv =
              "ImageId,PredictionString\nILSVRC2012_val_1,n01443537 1 2 3 4\nILSVRC2012_val_3,n01440764 5 6 7 8 n01440764 1 2 3 4\n"

          let images =
              ok (
                  openFiles folder ImageFolder.defaults (("LOC_val_solution.csv", Encoding.UTF8.GetBytes csv) :: kaggle)
              )

          checkTrain images
          let test = images.Test.Value
          let found = List.init test.Count (fun i -> test.Label i, FileSet.fileName (test.Name i))
          Expect.equal found [ 0, "ILSVRC2012_val_3.png"; 1, "ILSVRC2012_val_1.png" ] "labels"
          let text = images.LeftOut |> List.map string |> String.concat "\n"

          contains
              [ "label file does not list"
                "ILSVRC2012_val_2.png"
                "no folders of the classes"
                "ILSVRC2012_test_1.png" ]
              text
      }

      test "Kaggle's layout without the labels is an error that names the file" {
          use folder = new TempFolder()

          contains
              [ "/val"; "LOC_val_solution.csv"; "--held-out" ]
              (errors (
                  openFiles
                      folder
                      ImageFolder.defaults
                      (kaggle |> List.filter (fun (name, _) -> not (name.Contains "/test/")))
              ))
      }

      for container in [ "folder"; "tar.gz" ] do
          test $"Tiny ImageNet in a {container} has labelled validation images" {
              use folder = new TempFolder()

              let annotations =
                  "val_0.JPEG\tn01443537\t0\t32\t44\t62\nval_1.png\tn01440764\t0\t0\t1\t1\nval_2.JPEG\tn01443537\t0\t0\t1\t1\n"

              let files = ("tiny-imagenet-200/val/val_annotations.txt", Encoding.UTF8.GetBytes annotations) :: tiny

              let images =
                  if container = "folder" then
                      ok (openFiles folder ImageFolder.defaults files)
                  else
                      use folder = new TempFolder()

                      ok (
                          ImageFolder.openPath
                              limits
                              ImageFolder.defaults
                              (folder.Write("set.tar.gz", gzip (tar files)))
                      )

              checkTrain images
              let test = images.Test.Value
              Expect.equal (List.init test.Count test.Label) [ 0; 1; 1 ] "labels"
          } ]

let tests = testList "ImageNet" [ testList "tars" tars; testList "label files" labelFiles ]
