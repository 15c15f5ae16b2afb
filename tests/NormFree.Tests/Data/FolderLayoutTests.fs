/// Names and arrangements of the folders of training and test images, as people have them.
module NormFree.Tests.Data.FolderLayoutTests

open System.IO
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private limits = FileSet.defaultLimits
let private picture i = png (noise (RandomStream.OfKeys(int64 i)) 6 5)

/// Two images of two classes in each split.
let private splits names =
    [ for split: string in names do
          for label in [ "cat"; "dog" ] do
              for i in 1..2 -> $"{split}/{label}/{i}.png", picture (i + split.Length) ]

let private write (folder: TempFolder) entries =
    for name: string, bytes: byte[] in entries do
        if name.EndsWith '/' then
            Directory.CreateDirectory(folder.File("set/" + name)) |> ignore
        else
            folder.Write("set/" + name, bytes) |> ignore

    folder.File "set"

let private read options entries =
    use folder = new TempFolder()
    ImageFolder.openPath limits options (write folder entries)

let private readPlain entries = ok (read ImageFolder.defaults entries)
let private failing entries parts = contains parts (errors (read ImageFolder.defaults entries))

/// (training images, test images).
let private counts (images: FolderImages) =
    images.Train.Count, images.Test |> Option.map _.Count |> Option.defaultValue 0

/// The split of the first test image.
let private testSplit (images: FolderImages) = images.Test.Value.Name 0

let private leftOut (images: FolderImages) = images.LeftOut |> List.map string |> String.concat "\n"

let private hiding =
    [ for names, words in
          [ [ "train.zip"; "test.zip" ], [ "archives"; "train.zip"; "Unpack them" ]
            [ "train/cat.tar.gz"; "train/dog.7z" ], [ "archives"; "train/cat.tar.gz"; "Unpack them" ]
            [ "train/data-00000-of-00001.arrow" ], [ "Arrow files"; "to_parquet" ] ] do
          test $"images inside {names.Head} are not looked for, and the error says so" {
              failing [ for name in names -> name, "x"B ] words
          }

      test "Parquet files in an archive are named" {
          use folder = new TempFolder()
          let path = folder.Write("set.tar", tar [ "data/train-00000-of-00001.parquet", "PAR1"B ])

          contains
              [ "Parquet files"; "Unpack the archive" ]
              (errors (ImageFolder.openPath limits ImageFolder.defaults path))
      }

      test "training images outside of class folders are an error" {
          failing [ "train/1.png", picture 1; "test/1.png", picture 2 ] [ "train"; "in no class folders"; "train/cat/" ]
      } ]

let private names =
    [ for train, testing in
          [ "train", "val"
            "train", "valid"
            "train", "validation"
            "train", "dev"
            "train", "tests"
            "Train", "Test"
            "TRAIN", "VAL"
            "Training", "Testing"
            "training_set", "test_set"
            "train_images", "test_images"
            "train2017", "val2017"
            "seg_train/seg_train", "seg_test/seg_test"
            "a/b/c/train", "a/b/c/test"
            "photos/train/train", "photos/test/test"
            "train/images", "test/images" ] do
          test $"'{train}' and '{testing}' are splits" {
              let images = readPlain (splits [ train; testing ])
              Expect.equal images.Classes [| "cat"; "dog" |] "classes"
              Expect.equal (counts images) (4, 4) "counts"
              contains [ $"{testing}/cat/1.png" ] (testSplit images)
          }

      test "with test and validation images, the test images are used and the others are counted" {
          let images = readPlain (splits [ "train"; "valid"; "test" ])
          contains [ "/test/" ] (testSplit images)
          contains [ "4 files are left out"; "'valid'"; "valid/cat/1.png" ] (leftOut images)
      }

      test "classes may have the names of splits" {
          let entries =
              [ for split in [ "train"; "test" ] do
                    for label in [ "train"; "test"; "val" ] -> $"{split}/{label}/1.png", picture 1 ]

          let images = readPlain entries
          Expect.equal images.Classes [| "test"; "train"; "val" |] "classes"
          Expect.equal (counts images) (3, 3) "counts"
      }

      test "the outer of two nested copies is used and the inner one is counted" {
          let copies = splits [ "chest/train"; "chest/test"; "chest/chest/train"; "chest/chest/test" ]
          let images = readPlain copies
          Expect.equal (counts images) (4, 4) "counts"
          contains [ "8 files are left out"; "neither" ] (leftOut images)
      } ]

let private unlabelled =
    [ for where in [ "test/"; "test/test/"; "test/images/" ] do
          test $"images in {where} without classes are left out beside validation images" {
              let flat = [ for i in 1..3 -> $"{where}{i}.png", picture i ]
              let images = readPlain (splits [ "train"; "val" ] @ flat)
              contains [ "/val/" ] (testSplit images)
              contains [ "3 files are left out"; "'test"; "no folders of the classes" ] (leftOut images)
          }

          test $"images in {where} without classes alone are an error with remedies" {
              let flat = [ for i in 1..3 -> $"{where}{i}.png", picture i ]
              failing (splits [ "train" ] @ flat) [ "/test"; "not in folders of the training classes"; "--held-out" ]
          }

      test "an empty or different test class is still an error" {
          failing (("train/bird/", [||]) :: splits [ "train"; "test" ]) [ "train/bird"; "no images" ]

          failing
              (("test/bird/1.png", picture 1) :: splits [ "train"; "test" ])
              [ "'train' lacks classes of 'test': bird" ]
      }

      test "classes that differ only in case are an error that says so" {
          failing
              (("train/Emu/1.png", picture 1) :: ("test/emu/1.png", picture 2) :: splits [ "train"; "test" ])
              [ "the class 'Emu' of 'train' is 'emu' in 'test'"
                "differ only in case"
                "Rename one of the folders" ]
      } ]

let private trainingOnly =
    let optional = { ImageFolder.defaults with TestOptional = true }

    [ test "training images alone are an error that names --held-out, or are accepted" {
          failing (splits [ "train" ]) [ "'test/<class>/'"; "--held-out"; "--test-split NAME" ]
          let images = ok (read optional (splits [ "train" ]))
          Expect.isNone images.Test "no test images"
          Expect.equal (counts images) (4, 0) "counts"
      }

      test "the images that a recipe holds out are the test images, also within a limit" {
          use folder = new TempFolder()

          let entries =
              [ for label in [ "cat"; "dog" ] do
                    for i in 1..10 -> $"train/{label}/{i}.png", picture i ]

          let path = write folder entries

          for limit in [ None; Some 10 ] do
              let options = { Catalogue.defaults with HeldOut = Some(0.2, 7L); Limit = limit }
              let dataset = ok (Catalogue.load ImageFolder (Some path) options)
              let kept, heldOut = ImageSource.split 0.2 7L dataset.Train
              let names (source: ImageSource) = List.init source.Count source.Name
              Expect.equal dataset.Train.Count (defaultArg limit 20) "all training images"
              Expect.equal (names dataset.Test) (names heldOut) "those held out"

              Expect.isEmpty
                  (List.filter (fun name -> List.contains name (names kept)) (names dataset.Test))
                  "none is trained on"

              contains [ "held-out" ] (String.concat "\n" dataset.Notes)
      }

      test "class folders without splits are training images, also inside a folder" {
          let classes =
              [ for label in [ "cat"; "dog" ] do
                    for i in 1..3 -> $"{label}/{i}.png", picture i ]

          failing classes [ "'test/<class>/'"; "--held-out" ]

          for split, entries in
              [ None, classes
                Some ".", classes
                None, [ for name, bytes in classes -> "photos/" + name, bytes ] ] do
              let images = ok (read { optional with TrainSplit = split } entries)
              Expect.equal (images.Classes, counts images) ([| "cat"; "dog" |], (6, 0)) "classes and counts"
              Expect.equal images.IsFlat split.IsNone "whether nobody named the split"
      }

      test "one folder of images, or folders of folders, are no classes" {
          for entries in
              [ [ "cat/1.png", picture 1 ]
                [ "a/cat/1.png", picture 1
                  "a/dog/1.png", picture 2
                  "b/cat/1.png", picture 3
                  "b/dog/1.png", picture 4 ] ] do
              contains [ "'train/<class>/'"; "--train-split ." ] (errors (read optional entries))
      }

      test "a folder named train with classes is a training split" {
          use folder = new TempFolder()
          write folder (splits [ "train" ]) |> ignore
          let images = ok (ImageFolder.openPath limits optional (folder.File "set/train"))
          Expect.equal (counts images) (4, 0) "counts"
      } ]

let private named =
    let options train test = { ImageFolder.defaults with TrainSplit = train; TestSplit = test }

    [ test "--train-split and --test-split name any folders" {
          let entries = splits [ "data/fold1"; "data/fold2"; "data/fold3" ]
          let images = ok (read (options (Some "fold1") (Some "data/fold3")) entries)
          contains [ "fold1" ] (images.Train.Name 0)
          contains [ "fold3" ] (testSplit images)
          contains [ "4 files are left out"; "fold2" ] (leftOut images)
      }

      test "one of them is enough if the other has a known name" {
          let images = ok (read (options None (Some "special")) (splits [ "train"; "test"; "special" ]))
          contains [ "/special/" ] (testSplit images)
          let images = ok (read (options (Some "mine") None) (splits [ "mine"; "test"; "train" ]))
          contains [ "/mine/" ] (images.Train.Name 0)
          contains [ "/test/" ] (testSplit images)
      }

      test "a name that does not exist or is ambiguous is an error with the folders" {
          let entries = splits [ "a/part"; "b/part"; "a/test" ]
          contains [ "--train-split nothing"; "a, b" ] (errors (read (options (Some "nothing") None) entries))

          contains
              [ "--train-split part"; "a/part, b/part"; "whole path" ]
              (errors (read (options (Some "part") None) entries))
      } ]

let private hidden =
    [ for folder in [ ".ipynb_checkpoints"; "@eaDir"; "__MACOSX"; ".thumbnails" ] do
          test $"{folder} is no class, and images in it are counted" {
              for where in [ $"train/{folder}/"; $"train/cat/{folder}/"; $"{folder}/train/cat/" ] do
                  let images =
                      readPlain (
                          (where + "0.png", picture 1)
                          :: (where + "deep/1.png", picture 2)
                          :: splits [ "train"; "test" ]
                      )

                  Expect.equal (images.Classes, counts images) ([| "cat"; "dog" |], (4, 4)) where
                  contains [ "2 files are left out"; "hidden"; folder ] (leftOut images)
          }

          test $"hidden images beside {folder} are counted, but not the files in which macOS keeps attributes" {
              let images =
                  readPlain (
                      ("train/cat/.hidden.png", picture 1)
                      :: ("train/cat/._0.png", [| 0uy |])
                      :: ($"{folder}/._0.png", [| 0uy |])
                      :: splits [ "train"; "test" ]
                  )

              contains [ "1 file is left out"; "hidden files"; ".hidden.png" ] (leftOut images)
          }

          test $"an empty {folder} is no class" {
              let images = readPlain ((($"train/{folder}/", [||])) :: splits [ "train"; "test" ])
              Expect.equal images.Classes [| "cat"; "dog" |] "classes"
              Expect.isEmpty images.LeftOut "nothing is left out"
          }

      test "files of operating systems are not mentioned" {
          let files =
              [ for name in [ "Thumbs.db"; ".DS_Store"; "desktop.ini"; "._1.png" ] -> $"train/cat/{name}", "x"B ]

          let images = readPlain (files @ splits [ "train"; "test" ])
          Expect.equal (counts images) (4, 4) "counts"
          Expect.isEmpty images.LeftOut "nothing is left out"
      } ]

let tests =
    testList
        "folder layouts"
        [ testList "names" names
          testList "unlabelled" unlabelled
          testList "training only" trainingOnly
          testList "named" named
          testList "hidden" hidden
          testList "hiding" hiding ]
