namespace NormFree.Runs

open NormFree.Spec

/// <summary>Numbers of the training method: they tell results of today's rules from those of earlier ones.</summary>
[<RequireQualifiedAccess>]
module RecipeMethod =

    /// Whether any shortcut has a standardised convolution, and with it gains.
    let private hasGainsInShortcuts net =
        match Net.tryBinary net with
        | Some { Norm = BnFree _; Blocks = blocks } ->
            blocks |> List.exists (fun block -> (Blocks.projection block).IsSome)
        | _ -> false

    /// The rules a recipe uses that earlier methods had differently: name, and the first method with today's rule. A changed rule gets a number
    /// above all others here, for the recipes and networks that it affects.
    let private changedRules recipe net =
        [ if Recipe.decaysPerStep recipe then
              "per-step decay (2)", 2
          if recipe.Deviations.Rates = Rule.Corrected && (Recipe.alpha net).IsSome then
              "learning rates (14)", 2
          if Recipe.centersSigns recipe net then
              "sign centering (15)", (if hasGainsInShortcuts net then 3 else 2)
          if Recipe.centersStream recipe net then
              "stream centering (17)", 4 ]

    /// The lowest method number: recipes that no later change affects are still trained by it.
    let private firstMethod = 2

    /// <summary>The method number of a recipe for a network. It rises when the same recipe leads to different weights than before, so that earlier
    /// results are not mistaken for today's; it rises only for the networks and recipes that are affected, so the others' results stay valid.</summary>
    let number recipe net = changedRules recipe net |> List.map snd |> List.fold max firstMethod

    /// <summary>The rules of this recipe and network that may differ from those of method <c>before</c>. None means a file from before methods were
    /// numbered; nothing is known about a later version's method.</summary>
    let changedSince before recipe net =
        let latest = number recipe net
        let isSame first = before |> Option.exists (fun number -> first <= number && number <= latest)

        [ for words, first in changedRules recipe net do
              if not (isSame first) then
                  words ]
