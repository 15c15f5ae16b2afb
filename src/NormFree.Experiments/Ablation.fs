namespace NormFree.Experiments

open NormFree.Runs
open NormFree.Spec

/// <summary>An ablation of the BN-free network and its recipe.</summary>
[<RequireQualifiedAccess>]
module Ablation =

    let private baseline = $"baseline (AGC {Defaults.AgcLambda}, weights only; α {Defaults.Alpha})"
    let private fixedInit = "fixed initialisation"
    let private publishedBeta = "fixed initialisation, published β"

    /// <summary>The baseline, then variants that each change one thing.</summary>
    let variants (budget: Budget) =
        let recipe = Budget.recipe budget
        let clipped clip = { recipe with Clip = clip }
        let variant label norm = Variant.twoStages label (Budget.reactNet18 budget |> Net.withNorm norm)
        let bnFree label recipe = variant label (BnFree Defaults.Alpha) recipe
        let initialised = { recipe with Initialisation = Initialisation.Fixed }
        let published change (recipe: Recipe) = { recipe with Deviations = change recipe.Deviations }

        [ bnFree baseline recipe
          bnFree "no AGC" (clipped NoClipping)
          for factor in [ 0.01; 0.04 ] do
              bnFree $"AGC {factor}" (clipped (Agc factor))
          bnFree
              "AGC 0.02, all but the classifier"
              (recipe |> published (fun d -> { d with Clipping = Rule.Published }))
          variant "no weight standardisation" (Scaled Defaults.Alpha) recipe
          for alpha in [ 0.1; 0.4; 1.0 ] do
              variant $"α {alpha}" (BnFree alpha) recipe
          bnFree fixedInit initialised
          // The data-dependent initialisation measures β: a formula matters only without it.
          bnFree publishedBeta (initialised |> published (fun d -> { d with ExpectedVariance = Rule.Published })) ]

    /// <summary>The labels of the pairs to compare.</summary>
    let comparisons =
        [ "no AGC", baseline
          "no weight standardisation", baseline
          fixedInit, baseline
          publishedBeta, fixedInit ]
