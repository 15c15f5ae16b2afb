/// EMNIST's splits, labels and transposed images.
module NormFree.Tests.Data.EmnistTests

open Expecto
open NormFree.Data
open NormFree.Tests.Data.IdxSetTests
open NormFree.Tests.Data.Support

let private emnist split = load Emnist { defaults with Emnist = split }
let private ofSplit name = $"emnist-{name}-train", $"emnist-{name}-test"

let tests =
    testList
        "EMNIST"
        [ for split, first, count, names in
              [ "byclass", 0, 62, [ 10, "A"; 36, "a"; 61, "z" ]
                "bymerge", 0, 47, [ 10, "A"; 36, "a"; 46, "t" ]
                "balanced", 0, 47, [ 9, "9"; 37, "b" ]
                "letters", 1, 26, [ 0, "a"; 25, "z" ]
                "digits", 0, 10, [ 9, "9" ]
                "mnist", 0, 10, [ 0, "0" ] ] do
              test $"EMNIST's {split} has its classes, found by the files' names" {
                  let dataset = ok (emnist None (labelled (ofSplit split) first count 28))
                  Expect.hasLength dataset.Classes count "classes"
                  Expect.equal (dataset.Train.Label 0, dataset.Train.Label(count - 1)) (0, count - 1) "labels from 0"

                  for label, name in names do
                      Expect.equal dataset.Classes[label] name "a name"
              }

          test "EMNIST's images are transposed" {
              let data = randomBytes 3 (10 * 784)

              let files =
                  [ for name, bytes in labelled (ofSplit "digits") 0 10 28 ->
                        name, (if name.Contains "images" then idx [ 10; 28; 28 ] data else bytes) ]

              let image = ok ((ok (emnist None files)).Train.Load 4)

              for y, x in [ 0, 1; 1, 0; 27, 3; 12, 25 ] do
                  Expect.equal image.Pixels[3 * (28 * y + x)] data[4 * 784 + 28 * x + y] "column by column"
          }

          test "EMNIST's split is chosen if there are several or none, and a missing one is an error" {
              let letters, digits = labelled (ofSplit "letters") 1 26 28, labelled (ofSplit "digits") 0 10 28
              contains [ "letters, digits"; "--emnist-split" ] (errors (emnist None (letters @ digits)))
              Expect.hasLength (ok (emnist (Some EmnistSplit.Digits) (letters @ digits))).Classes 10 "digits"
              contains [ "byclass"; "--emnist-split letters" ] (errors (emnist (Some EmnistSplit.ByClass) letters))
              let renamed = labelled standard 1 26 28
              contains [ "--emnist-split" ] (errors (emnist None renamed))
              Expect.hasLength (ok (emnist (Some EmnistSplit.Letters) renamed)).Classes 26 "letters under MNIST's names"
              contains [ "--dataset emnist" ] (errors (mnist letters))
          } ]
